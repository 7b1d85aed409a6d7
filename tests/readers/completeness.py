"""Compares the words of JATS articles, found by a walk of the XML of its own, with those that the reader gives.

    python -m tests.readers.completeness FOLDER...

prints for each publisher how many words are lost or new, and the ten files with the most of them.
"""

import html
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Document, Rejection
from craft_ray.readers import ReadOptions, read_shard

FONTS = {
    "bold",
    "italic",
    "monospace",
    "overline",
    "roman",
    "ruby",
    "sans-serif",
    "sc",
    "strike",
    "sub",
    "sup",
    "underline",
}
LINKS = {
    "email",
    "ext-link",
    "inline-formula",
    "inline-graphic",
    "inline-supplementary-material",
    "target",
    "uri",
    "xref",
}
NAMED = {"abbrev", "alternatives", "chem-struct", "named-content", "private-char", "styled-content", "toggle", "x"}
CITED = {"collab", "comment", "date", "day", "fpage", "given-names", "institution", "issue", "lpage", "month", "name"}
CITED |= {"num", "pub-id", "source", "string-name", "surname", "volume", "year", "elocation-id", "edition"}
INLINE = FONTS | LINKS | NAMED | CITED
"""Elements that do not end a word; so are those of MathML."""

FIGURES = {"alt-text", "array", "disp-formula", "disp-formula-group", "graphic", "long-desc", "table", "textual-form"}
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


def text_of(element, in_foot: bool = False) -> str:
    """All text within, blocks and raised marks apart by a blank, without what is never read."""
    name = name_of(element)
    in_foot = in_foot or name == "table-wrap-foot"
    is_math = "MathML" in (etree.QName(element).namespace or "")
    edge = "" if (name in INLINE or is_math) and not is_raised(element) else " "
    parts = [edge, element.text or ""]
    for child in element:
        if child.tag is etree.Entity:
            parts.append(html.unescape(child.text))
        elif name_of(child) in LEFT_OUT or (name_of(child) == "fn" and not in_foot):
            parts.append(" ")
        elif name_of(child):
            parts.append(text_of(child, in_foot))
        parts.append(child.tail or "")
    return "".join([*parts, edge])


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text))


def expected(article) -> Counter[str]:
    """The words of titles, abstracts, body and captions."""
    found: Counter[str] = Counter()
    for path in (
        "{*}front/{*}article-meta/{*}title-group/{*}article-title",
        "{*}front/{*}article-meta/{*}title-group/{*}subtitle",
        "{*}front/{*}article-meta/{*}abstract",
        "{*}body",
        "{*}floats-group",
    ):
        for part in article.iterfind(path):
            found += words(re.sub("|".join(BOILERPLATE), " ", text_of(part)))
    is_english = article.get(LANGUAGE, "en").startswith("en")
    for part in article.iterfind("{*}front/{*}article-meta/{*}trans-abstract"):
        without = not is_english or article.find("{*}front/{*}article-meta/{*}abstract") is None
        if part.get(LANGUAGE, "").startswith("en") and without:
            found += words(text_of(part))
    return found


@dataclass
class Compared:
    """Words of an article by our reader against the walk."""

    total: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    new: Counter[str] = field(default_factory=Counter)
    rejected: str | None = None
    publisher: str = ""

    def counts(self) -> tuple[int, int, int]:
        return self.total, self.lost.total(), self.new.total()


def compare(path: Path) -> Compared:
    """Words lost are expected and not given; new ones are given and not expected, such as two that are glued."""
    root = etree.parse(path, etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)).getroot()
    article = root if name_of(root) == "article" else next(root.iter("{*}article"))
    with path.open("rb") as stream:
        try:
            item = next(iter(read_shard(stream, path.name, ReadOptions(format="jats"))))
        except ShardError as error:
            return Compared(rejected=error.reason)
    if isinstance(item, Rejection):
        return Compared(rejected=item.reason)
    assert isinstance(item, Document)
    theirs = expected(article)
    ours: Counter[str] = Counter()
    for section in item.sections:
        if section.name != "trans-title":
            ours += words(item.text[section.start : section.end])
    publisher = article.find(".//{*}publisher-name")
    name = " ".join("".join(publisher.itertext()).split()) if publisher is not None else "(none)"
    return Compared(theirs.total(), theirs - ours, ours - theirs, None, name)


def main(folders: list[str]) -> None:
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*ml")) if path.is_file()]
    results: dict[Path, Compared] = {}
    rejected: Counter[str] = Counter()
    for path in files:
        try:
            result = compare(path)
        except (etree.XMLSyntaxError, StopIteration) as error:
            rejected[type(error).__name__] += 1
            continue
        if result.rejected is None:
            results[path] = result
        else:
            rejected[result.rejected] += 1
            print(f"rejected {result.rejected}: {path}")
    by_publisher: dict[str, list[Compared]] = {}
    for result in results.values():
        by_publisher.setdefault(result.publisher, []).append(result)
    for publisher, group in sorted(by_publisher.items(), key=lambda item: -len(item[1])):
        total, lost, new = (sum(counts) for counts in zip(*map(Compared.counts, group), strict=True))
        print(f"{len(group):4} files {total:9,} words {lost:6,} lost {new:6,} new  {publisher}")
    for path, result in sorted(results.items(), key=lambda item: -item[1].lost.total() - item[1].new.total())[:10]:
        print(path, result.total, "lost", result.lost.most_common(12), "new", result.new.most_common(12))
    total, lost, new = (sum(counts) for counts in zip(*map(Compared.counts, results.values()), strict=True))
    print(f"{len(results)} articles of {len(by_publisher)} publishers, {total:,} words, {lost:,} lost, {new:,} new")
    print(f"not compared: {dict(rejected)}")


if __name__ == "__main__":
    main(sys.argv[1:])
