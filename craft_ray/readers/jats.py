"""JATS and NLM full-text articles, alone or in a `pmc-articleset` (https://jats.nlm.nih.gov/archiving/).

Read are the title, abstracts, the body by section (`body/Methods/Mice`), and the captions of figures, tables and
supplements (`caption`). Left out: tables' cells, display formulas, TeX, references, back matter and translated
abstracts; inline formulas keep the text of their MathML. Citation numbers stay, a blank
keeps them apart from the word before.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

from craft_ray.core.schema import Document, Item
from craft_ray.readers.composing import LONGEST_NAME, Composer, squeeze
from craft_ray.readers.reader import Reader, ReadOptions
from craft_ray.readers.xml import local_name, text_of, xml_elements

_FLOATS = ("fig", "fig-group", "table-wrap", "table-wrap-group", "supplementary-material", "boxed-text", "media")
_BLOCKS = (*_FLOATS, "list", "def-list", "disp-quote", "p", "sec", "statement")
_LEFT_OUT = (
    "table",
    "disp-formula",
    "disp-formula-group",
    "tex-math",
    "label",
    "fn",
    "graphic",
    "object-id",
    "permissions",
)
_PARAGRAPH_SKIP = frozenset((*_BLOCKS, *_LEFT_OUT, "break"))


def read_jats(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each article; one without an id is named by its shard and its number in it."""
    for number, article in enumerate(xml_elements(stream, ("article",))):
        yield _article(article, shard if number == 0 else f"{shard}#{number}")


def _article(article: Any, fallback_id: str) -> Document:
    meta = article.find("front/article-meta")
    composer = Composer()
    title = ""
    if meta is not None:
        heading = meta.find("title-group/article-title")
        title = squeeze(text_of(heading, ("xref", "fn"))) if heading is not None else ""
        composer.add("title", title)
        for abstract in meta.iterfind("abstract"):
            _walk(abstract, "abstract", composer)
    for part in ("body", "floats-group", "floats-wrap"):
        if (found := article.find(part)) is not None:
            _walk(found, "body", composer)
    for sub in article.iterfind("sub-article"):
        if (body := sub.find("body")) is not None:
            _walk(body, "sub-article", composer)
    return Document(
        doc_id=_doc_id(meta) or fallback_id,
        text=composer.text,
        sections=composer.sections,
        title=title or None,
        year=_year(meta),
        journal=_journal(article),
        metadata={"article_type": article.get("article-type", "")},
    )


def _walk(element: Any, section: str, composer: Composer) -> None:
    """Add an element's passages under a section's name, in reading order."""
    for child in element:
        name = local_name(child)
        if name == "sec":
            heading = child.find("title")
            title = squeeze(text_of(heading, _LEFT_OUT)) if heading is not None else ""
            _walk(child, f"{section}/{title}"[:LONGEST_NAME] if title else section, composer)
        elif name in _FLOATS:
            _captions(child, section, composer)
        elif name in ("title", "p", "term", "attrib", "verse-line"):
            _paragraph(child, section, composer)
        elif name not in _LEFT_OUT and name != "ref-list":
            _walk(child, section, composer)


def _paragraph(element: Any, section: str, composer: Composer) -> None:
    """A paragraph's own text as one passage, then the blocks that stand in it (lists, figures) as theirs."""
    composer.add(section, squeeze(text_of(element, _PARAGRAPH_SKIP, _is_citation)))
    for block in _outermost(element, _BLOCKS):
        if local_name(block) in _FLOATS:
            _captions(block, section, composer)
        elif local_name(block) == "p":
            _paragraph(block, section, composer)
        else:
            _walk(block, section, composer)


def _outermost(element: Any, names: Collection[str]) -> Iterator[Any]:
    """The elements of some names within another, but not those within them."""
    for child in element:
        if local_name(child) in names:
            yield child
        else:
            yield from _outermost(child, names)


def _is_citation(element: Any) -> bool:
    """A reference to the literature, which print raises after a word: `membrane<xref ...>1</xref>`."""
    return local_name(element) == "xref" and element.get("ref-type") == "bibr"


def _captions(element: Any, section: str, composer: Composer) -> None:
    """The captions within a figure, table or supplement; a box is a part of the body like any other."""
    if local_name(element) == "boxed-text":
        _walk(element, section, composer)
        return
    for caption in _outermost(element, ("caption",)):
        _walk(caption, "caption", composer)


def _doc_id(meta: Any) -> str | None:
    """The PMCID, else the PMID, else the DOI."""
    if meta is None:
        return None
    ids = {e.get("pub-id-type"): squeeze(text_of(e)) for e in meta.iterfind("article-id")}
    for kind in ("pmcid", "pmc", "pmcaid"):
        if digits := re.sub(r"^PMC", "", ids.get(kind, "")):
            return f"PMCID:PMC{digits}"
    if ids.get("pmid"):
        return f"PMID:{ids['pmid']}"
    return f"DOI:{ids['doi']}" if ids.get("doi") else None


def _year(meta: Any) -> int | None:
    """The earliest year of publication given."""
    years = [squeeze(text_of(e)) for e in meta.iterfind("pub-date/year")] if meta is not None else []
    return min((int(year) for year in years if re.fullmatch(r"\d{4}", year)), default=None)


def _journal(article: Any) -> str | None:
    meta = article.find("front/journal-meta")
    found = next(meta.iter("journal-title"), None) if meta is not None else None
    return squeeze(text_of(found)) or None if found is not None else None


READER = Reader("jats", read_jats, suffixes=("nxml", "xml"), owned=("nxml",), roots=("article", "pmc-articleset"))
