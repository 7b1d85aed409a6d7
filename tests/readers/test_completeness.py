"""Real articles against an independent walk of their XML: no words are lost, and none are glued together."""

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from lxml import etree

from craft_ray.core.schema import Document
from craft_ray.readers import read_shard
from craft_ray.readers.reader import ReadOptions

_INLINE = """
bold italic monospace overline roman ruby sans-serif sc strike sub sup underline
email ext-link inline-formula inline-graphic inline-supplementary-material target uri xref
abbrev alternatives chem-struct named-content private-char styled-content toggle x
collab comment date day edition elocation-id fpage given-names institution issue lpage month name num pub-id source
string-name surname volume year
"""
INLINE = set(_INLINE.split())
"""Elements that do not end a word, besides those of MathML."""

TABLES = {"array", "table"}
FIGURES = {"alt-text", "disp-formula", "disp-formula-group", "graphic", "long-desc", "textual-form"}
LEFT_OUT = FIGURES | {"annotation", "annotation-xml", "contrib-group", "kwd-group", "label", "object-id", "permissions"}
LEFT_OUT |= {"ref-list", "subj-group", "tex-math"}
RAISED = ("bibr", "fn", "table-fn", "author-notes", "aff", "corresp")
WORD = re.compile(r"[^\W_]+")
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
BOILERPLATE = ("Click here for additional data file", "Click here for file")


def name_of(element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def is_raised(element) -> bool:
    if name_of(element) == "sup":
        return any(name_of(child) == "xref" and is_raised(child) for child in element)
    return name_of(element) == "xref" and element.get("ref-type") in RAISED


def text_of(element, left_out: set[str], in_foot: bool = False) -> str:
    """Text within an element, with blanks around blocks and superscript references, without what is not read."""
    name = name_of(element)
    in_foot = in_foot or name == "table-wrap-foot"
    is_math = "MathML" in (etree.QName(element).namespace or "")
    edge = "" if (name in INLINE or is_math) and not is_raised(element) else " "
    parts = [edge, element.text or ""]
    for child in element:
        if child.tag is etree.Entity:
            parts.append(html.unescape(child.text))
        elif name_of(child) in left_out or (name_of(child) == "fn" and not in_foot):
            parts.append(" ")
        elif name_of(child):
            parts.append(text_of(child, left_out, in_foot))
        parts.append(child.tail or "")
    return "".join([*parts, edge])


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text))


def expected(article, with_tables: bool) -> Counter[str]:
    left_out = LEFT_OUT if with_tables else LEFT_OUT | TABLES
    found: Counter[str] = Counter()
    for path in (
        "{*}front/{*}article-meta/{*}title-group/{*}article-title",
        "{*}front/{*}article-meta/{*}title-group/{*}subtitle",
        "{*}front/{*}article-meta/{*}abstract",
        "{*}body",
        "{*}floats-group",
    ):
        for part in article.iterfind(path):
            found += words(re.sub("|".join(BOILERPLATE), " ", text_of(part, left_out)))
    is_english = article.get(LANGUAGE, "en").startswith("en")
    for part in article.iterfind("{*}front/{*}article-meta/{*}trans-abstract"):
        without = not is_english or article.find("{*}front/{*}article-meta/{*}abstract") is None
        if part.get(LANGUAGE, "").startswith("en") and without:
            found += words(text_of(part, left_out))
    return found


@dataclass
class Compared:
    """Words that the reader lost, and words that only the reader has, such as two that it glued together."""

    total: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    new: Counter[str] = field(default_factory=Counter)
    rejected: str | None = None


def compare(path: Path, with_tables: bool = False) -> Compared:
    root = etree.parse(path, etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)).getroot()
    article = root if name_of(root) == "article" else next(root.iter("{*}article"))
    with path.open("rb") as stream:
        item = next(iter(read_shard(stream, path.name, ReadOptions("jats", ("tables",) if with_tables else ()))))
    if not isinstance(item, Document):
        return Compared(rejected=str(item))
    theirs, ours = expected(article, with_tables), Counter[str]()
    for section in item.sections:
        if section.name != "trans-title":
            ours += words(item.text[section.start : section.end])
    return Compared(theirs.total(), theirs - ours, ours - theirs)


MAX_LOST = 0.0005  # of an article's words


@pytest.mark.parametrize("with_tables", [False, True])
@pytest.mark.parametrize("folder", ["jats", "craft/jats"])
def test_real_articles_are_read_completely(data, folder: str, with_tables: bool):
    compared = {path.name: compare(path, with_tables) for path in sorted((data / folder).glob("*.nxml"))}
    assert min(found.total for found in compared.values()) > 500
    assert {name: found.rejected for name, found in compared.items() if found.rejected} == {}
    assert {name: found.lost for name, found in compared.items() if found.lost.total() > MAX_LOST * found.total} == {}
    assert {name: found.new for name, found in compared.items() if found.new} == {}
