"""JATS and NLM full-text articles, alone or in a `pmc-articleset`, an OAI record or the like.

https://jats.nlm.nih.gov/archiving/

Read are the titles, abstracts, the body by section (`body/Methods/Mice`), and the captions and notes of figures, tables
and supplements (`caption`). Parts of `ArticlePart` are read on request, and else their words are counted in the
metadata (`words_left_out`). Left out are display formulas, TeX, labels and references; inline formulas keep the text of
their MathML.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from craft_ray.core.schema import Document, Item, Rejection
from craft_ray.readers.jats_text import TABLES, JatsText
from craft_ray.readers.reader import Reader, ReadOptions
from craft_ray.readers.text_builder import normalize_space
from craft_ray.readers.xml import LANGUAGE, local_name, text_of, without_namespace, xml_elements

_SUB_ARTICLES = ("sub-article", "response")
_BODIES = ("body", "floats-group", "floats-wrap")
_BACK_APART = {"ack": "acknowledgements", "app-group": "appendices", "app": "appendices", "ref-list": None}
"""Parts of the back matter that are no part of `back`."""


_OTHER_TYPES = {
    "item-info": "Elsevier",
    "articleinfo": "IEEE",
    "journal": "Copernicus",
    "pubfm": "Nature",
    "art-admin": "RSC",
}
"""Elements near the start of an `article` by which publishers' own document types are known."""


def read_jats(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each article; one without an id is named by its shard and its number in it.

    An article of another document type (publishers have some of their own) is rejected as `unknown_format`.
    """
    for number, article in enumerate(xml_elements(stream, ("{*}article",))):
        yield from _article(article, shard if number == 0 else f"{shard}#{number}", options.include)


def _article(article: Any, fallback_id: str, include: tuple[str, ...]) -> Iterator[Item]:
    if not _is_jats(article):
        yield Rejection(fallback_id, "unknown_format", _of_another_type(article))
        return
    without_namespace(article)
    meta = article.find("front/article-meta")
    doc_id = _doc_id(meta) or fallback_id
    yield _document(article, meta, doc_id, _year(meta), _journal(article), include, {})
    if "sub-articles" in include:
        for number, part in enumerate(article.iter(*_SUB_ARTICLES), start=1):
            meta_of_part = part.find("front-stub")
            if meta_of_part is None:
                meta_of_part = part.find("front/article-meta")
            more = {"part_of": doc_id}
            year = _year(meta_of_part) or _year(meta)
            yield _document(part, meta_of_part, f"{doc_id}#sub{number}", year, _journal(article), include, more)


def _of_another_type(article: Any) -> str:
    """The kind of an `article` that is not JATS, as far as its first elements tell."""
    parts = [name for child in article if (name := local_name(child))]
    if not parts:
        return "no content"
    maker = next((maker for part, maker in _OTHER_TYPES.items() if part in parts[:3]), None)
    if maker is None:
        return f"an `article` of another document type than JATS; it begins with `{parts[0]}`"
    return f"an `article` of {maker}'s own document type: get it as JATS, or get its citation from PubMed"


def _is_jats(article: Any) -> bool:
    """True if an `article` has JATS's parts, in no namespace or one of JATS's own."""
    namespace, _, _ = article.tag.rpartition("}")
    has_parts = any(local_name(child) in ("front", "body", "front-stub") for child in article)
    return has_parts and (not namespace or "nlm.nih.gov" in namespace or "jats" in namespace.lower())


def _document(
    article: Any,
    meta: Any,
    doc_id: str,
    year: int | None,
    journal: str | None,
    include: tuple[str, ...],
    more: dict[str, Any],
) -> Document:
    """The Document of an article or sub-article."""
    text = JatsText(include)
    language = article.get(LANGUAGE) or None
    title = _add_front(meta, text, language, include) if meta is not None else ""
    for name in _BODIES:
        for part in article.iterfind(name):
            text.walk(part, "body")
    for name, element in _back(article):
        if name in include:
            text.visit(element, "appendix" if name == "appendices" else name)
    metadata: dict[str, Any] = {"article_type": article.get("article-type") or article.get("response-type") or ""}
    metadata |= more
    if language:
        metadata["language"] = language
    if left_out := _words_left_out(article, meta, include):
        metadata["words_left_out"] = left_out
    return Document(
        doc_id=doc_id,
        text=text.builder.text,
        sections=text.builder.sections,
        title=title or None,
        year=year,
        journal=journal,
        metadata=metadata,
    )


def _add_front(meta: Any, text: JatsText, language: str | None, include: tuple[str, ...]) -> str:
    """Add titles and abstracts; return the title."""
    title = ""
    for group in meta.iterfind("title-group"):
        for heading in group:
            name = local_name(heading)
            if name in ("article-title", "subtitle"):
                text.paragraph(heading, "title")
                title = title or text.inline(heading)
        for translated in group.iter("trans-title", "trans-subtitle"):
            text.paragraph(translated, "trans-title")
    for abstract in meta.iterfind("abstract"):
        text.walk(abstract, "abstract")
    for abstract in meta.iterfind("trans-abstract"):
        if _stands_in(abstract, meta, language):
            text.walk(abstract, "abstract")
        elif "translations" in include:
            text.walk(abstract, "trans-abstract")
    return title


def _stands_in(abstract: Any, meta: Any, language: str | None) -> bool:
    """True if a translated abstract is the English one of an article that has no other."""
    is_english = (abstract.get(LANGUAGE) or "").lower().startswith("en")
    return is_english and (meta.find("abstract") is None or not (language or "en").lower().startswith("en"))


def _back(article: Any) -> Iterator[tuple[str, Any]]:
    """The parts of the back matter, each with the name of the setting that it is read by."""
    for back in article.iterfind("back"):
        for child in back:
            name = _BACK_APART.get(local_name(child), "back")
            if local_name(child) and name is not None:
                yield name, child


def _words_left_out(article: Any, meta: Any, include: tuple[str, ...]) -> dict[str, int]:
    """Words of each part that a setting would read."""
    counts: dict[str, int] = {}

    def count(part: str, element: Any) -> None:
        if part not in include and (words := len(" ".join(element.itertext()).split())):
            counts[part] = counts.get(part, 0) + words

    read = [part for name in _BODIES for part in article.iterfind(name)]
    read += meta.iterfind("abstract") if meta is not None else ()
    for element in (found for part in read for found in part.iter("fn", *TABLES)):
        if element.tag in TABLES:
            count("tables", element)
        elif next(element.iterancestors("table-wrap-foot"), None) is None:
            count("footnotes", element)
    for name, element in _back(article):
        count(name, element)
    for part in _SUB_ARTICLES:
        for element in article.iterfind(part):
            count("sub-articles", element)
    for abstract in meta.iterfind("trans-abstract") if meta is not None else ():
        if not _stands_in(abstract, meta, article.get(LANGUAGE)):
            count("translations", abstract)
    return counts


def _doc_id(meta: Any) -> str | None:
    """The PMCID, else the PMID, else the DOI."""
    if meta is None:
        return None
    ids = {e.get("pub-id-type"): normalize_space(text_of(e)) for e in meta.iterfind("article-id")}
    for kind in ("pmcid", "pmc", "pmcaid"):
        if digits := re.sub(r"^PMC", "", ids.get(kind, "")):
            return f"PMCID:PMC{digits}"
    if ids.get("pmid"):
        return f"PMID:{ids['pmid']}"
    return f"DOI:{ids['doi']}" if ids.get("doi") else None


def _year(meta: Any) -> int | None:
    """The earliest year of publication given."""
    if meta is None:
        return None
    years = [normalize_space(text_of(year)) for year in meta.iterfind("pub-date/year")]
    years += [date.get("iso-8601-date", "")[:4] for date in meta.iterfind("pub-date")]
    return min((int(year) for year in years if re.fullmatch(r"[0-9]{4}", year)), default=None)


def _journal(article: Any) -> str | None:
    meta = article.find("front/journal-meta")
    found = next(meta.iter("journal-title"), None) if meta is not None else None
    return normalize_space(text_of(found)) or None if found is not None else None


READER = Reader("jats", read_jats, suffixes=("nxml", "xml"), owned=("nxml",), roots=("article", "pmc-articleset"))
