"""JATS and NLM full-text articles (https://jats.nlm.nih.gov/archiving/), also within a `pmc-articleset` or OAI record.

Read are titles, abstracts, the body by section (`body/Methods/Mice`), and captions and notes of figures, tables and
supplements (`caption`). The parts of `ArticlePart` are read on request; otherwise `words_left_out` in the metadata
counts their words. Display formulas, TeX and labels are left out. Inline formulas keep their MathML's text.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from lxml import etree

from craft_ray.core.logs import log
from craft_ray.core.schema import Document, Item, Rejection
from craft_ray.readers.ids import article_id
from craft_ray.readers.jats_text import TABLES, JatsText
from craft_ray.readers.reader import Reader, ReadOptions
from craft_ray.readers.text_builder import normalize_space
from craft_ray.readers.xml import LANGUAGE, iter_elements, local_name, text_of, unknown_entities

_SUB_ARTICLES = ("sub-article", "response")
_BODIES = ("body", "floats-group", "floats-wrap")
_BACK_MATTER = {"ack": "acknowledgements", "app-group": "appendices", "app": "appendices", "ref-list": "references"}
"""Setting that includes an element of the back matter, `back` for all others."""

_PARTS = {"processing-meta", "front-stub", *_BODIES, "back", *_SUB_ARTICLES}
"""Children that an `article` of JATS may have besides its `front`."""

_OTHER_TYPES = {
    "item-info": "Elsevier",
    "articleinfo": "IEEE",
    "journal": "Copernicus",
    "pubfm": "Nature",
    "art-admin": "RSC",
    "article-metadata": "IOP",
}
"""Publishers whose own document types also have the root `article`, by an element near its start."""


def read_jats(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each article, those without an id named by the file.

    Articles of another document type are rejected as `unknown_format`.
    """
    for number, article in enumerate(iter_elements(stream, ("article",), undeclared_entities=True)):
        yield from read_article(article, shard if number == 0 else f"{shard}#{number}", options.include)


def read_article(article: Any, fallback_id: str, include: tuple[str, ...]) -> Iterator[Item]:
    """Yield the Document of an `article` element, and those of its sub-articles on request."""
    if not _is_jats(article):
        yield Rejection(fallback_id, "unknown_format", _describe_other_type(article))
        return
    meta = article.find("front/article-meta")
    ids = {e.get("pub-id-type"): normalize_space(text_of(e)) for e in article.iterfind("front/article-meta/article-id")}
    document = _build_document(article, meta, article_id(ids) or fallback_id, include)
    yield document
    if "sub-articles" in include:
        for number, part in enumerate(article.iter(*_SUB_ARTICLES), start=1):
            part_meta = part.find("front-stub")
            if part_meta is None:
                part_meta = part.find("front/article-meta")
            yield _build_document(part, part_meta, f"{document.doc_id}#sub{number}", include, document)


def _is_jats(article: Any) -> bool:
    """Whether an `article` has JATS's front, or only parts of JATS."""
    parts = {name for child in article if (name := local_name(child))}
    return "front" in parts or (bool(parts) and parts <= _PARTS)


def _describe_other_type(article: Any) -> str:
    parts = [name for child in article if (name := local_name(child))]
    if not parts:
        return "no content"
    publisher = next((publisher for part, publisher in _OTHER_TYPES.items() if part in parts[:3]), None)
    if publisher is None:
        return f"an `article` of another document type than JATS; it begins with `{parts[0]}`"
    return f"an `article` of {publisher}'s own document type: get it as JATS, or get its citation from PubMed"


def _build_document(
    article: Any, meta: Any, doc_id: str, include: tuple[str, ...], parent: Document | None = None
) -> Document:
    """Build the Document of an article, or of a sub-article of `parent`."""
    text = JatsText(include)
    language = article.get(LANGUAGE) or None
    title = _add_front(meta, text, language, include) if meta is not None else ""
    for name in _BODIES:
        for part in article.iterfind(name):
            text.walk(part, "body")
    for name, element in _back_matter(article):
        if name in include:
            text.visit(element, "appendix" if name == "appendices" else name)
    year = _year(meta)
    if parent and not year:
        year = parent.year
    metadata: dict[str, Any] = {"article_type": article.get("article-type") or article.get("response-type") or ""}
    if parent:
        metadata["part_of"] = parent.doc_id
    if language:
        metadata["language"] = language
    if unknown := unknown_entities(article):
        metadata["unknown_entities"] = unknown
        log.warning("kept entities that have no character", extra={"document": doc_id, "entities": unknown})
    if left_out := _words_left_out(article, meta, include):
        metadata["words_left_out"] = left_out
    return Document(
        doc_id=doc_id,
        text=text.builder.text,
        sections=text.builder.sections,
        title=title or None,
        year=year,
        journal=parent.journal if parent else _journal(article),
        metadata=metadata,
    )


def _add_front(meta: Any, text: JatsText, language: str | None, include: tuple[str, ...]) -> str:
    """Add titles and abstracts, and return the title."""
    title = ""
    for group in meta.iterfind("title-group"):
        for heading in group:
            if local_name(heading) in ("article-title", "subtitle"):
                text.paragraph(heading, "title")
                title = title or text.inline(heading)
        for translated in group.iter("trans-title", "trans-subtitle"):
            text.paragraph(translated, "trans-title")
    for abstract in meta.iterfind("abstract"):
        text.walk(abstract, "abstract")
    for abstract in meta.iterfind("trans-abstract"):
        if _is_main_abstract(abstract, meta, language):
            text.walk(abstract, "abstract")
        elif "translations" in include:
            text.walk(abstract, "trans-abstract")
    return title


def _is_main_abstract(translated: Any, meta: Any, language: str | None) -> bool:
    """Whether a translated abstract is the English one of an article that has no other in English."""
    is_english = (translated.get(LANGUAGE) or "").lower().startswith("en")
    return is_english and (meta.find("abstract") is None or not (language or "en").lower().startswith("en"))


def _back_matter(article: Any) -> Iterator[tuple[str, Any]]:
    """Yield the optional parts of the back matter, each with the setting that includes it."""
    for child in article.iterfind("back/*"):
        yield _BACK_MATTER.get(local_name(child), "back"), child


_texts: Callable[[Any], Any] = etree.XPath("descendant::text()", smart_strings=False)
"""Three times as fast as `itertext`."""


def _words_left_out(article: Any, meta: Any, include: tuple[str, ...]) -> dict[str, int]:
    """Count the words of each optional part that is not included."""
    counts: dict[str, int] = {}

    def count(part: str, element: Any) -> None:
        if part not in include and (words := len(" ".join(_texts(element)).split())):
            counts[part] = counts.get(part, 0) + words

    read = [part for name in _BODIES for part in article.iterfind(name)]
    read += meta.iterfind("abstract") if meta is not None else ()
    read += [element for name, element in _back_matter(article) if name in include and name != "references"]
    tables = tuple(f"{{*}}{name}" for name in TABLES)
    counted = () if "tables" in include else tables
    # What an element is within that counts its words already, or reads them.
    around = {"tables": tables, "footnotes": ("table-wrap-foot", *counted), "references": ("ref-list", *counted)}
    for element in (found for part in read for found in part.iter("fn", "ref-list", *tables)):
        name = {"fn": "footnotes", "ref-list": "references"}.get(local_name(element), "tables")
        if next(element.iterancestors(*around[name]), None) is None:
            count(name, element)
    for name, element in _back_matter(article):
        count(name, element)
    for part in _SUB_ARTICLES:
        for element in article.iterfind(part):
            count("sub-articles", element)
    for abstract in meta.iterfind("trans-abstract") if meta is not None else ():
        if not _is_main_abstract(abstract, meta, article.get(LANGUAGE)):
            count("translations", abstract)
    return counts


def _year(meta: Any) -> int | None:
    """The earliest year of publication."""
    if meta is None:
        return None
    years = [normalize_space(text_of(year)) for year in meta.iterfind("pub-date/year")]
    years += [date.get("iso-8601-date", "")[:4] for date in meta.iterfind("pub-date")]
    return min((int(year) for year in years if re.fullmatch(r"[0-9]{4}", year)), default=None)


def _journal(article: Any) -> str | None:
    meta = article.find("front/journal-meta")
    found = next(meta.iter("journal-title"), None) if meta is not None else None
    return normalize_space(text_of(found)) or None if found is not None else None


READER = Reader("jats", read_jats, suffixes=("nxml",), shared_suffixes=("xml",), roots=("article", "pmc-articleset"))
