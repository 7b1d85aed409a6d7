"""PubMed XML: baseline, update and efetch files (https://www.nlm.nih.gov/bsd/licensee/elements_descriptions.html).

Read are the title and all parts of the abstract, a labelled one as section `abstract/LABEL`. A vernacular title or an
English `OtherAbstract` (of PIP or NASA) is read if there is no other. Copyright lines are left out. The metadata has
the languages, the types of publication and the MeSH headings.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from craft_ray.core.schema import Deletion, Document, Item, Rejection
from craft_ray.readers.ids import pmid_of
from craft_ray.readers.reader import Reader, ReadOptions
from craft_ray.readers.text_builder import TextBuilder, normalize_space
from craft_ray.readers.xml import iter_elements, text_of


def read_pubmed(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each citation and a Deletion for each PMID of a `DeleteCitation` list."""
    tags = ("MedlineCitation", "PubmedArticle", "PubmedBookArticle", "DeleteCitation", "DeleteDocument")
    number = 0
    for element in iter_elements(stream, tags):
        if element.tag == "PubmedArticle" and element.find("MedlineCitation") is not None:
            continue  # its citation has been read
        if element.tag in ("DeleteCitation", "DeleteDocument"):
            for pmid in element.iterfind("PMID"):
                if doc_id := pmid_of(pmid.text):
                    yield Deletion(doc_id, _version(pmid))
                else:
                    yield Rejection(f"{shard}#{number}", "bad_record", "a deletion without a PMID")
        else:
            yield _build_document(element, f"{shard}#{number}")
        number += 1


def _build_document(element: Any, fallback_id: str) -> Document | Rejection:
    is_book = element.tag == "PubmedBookArticle"
    record = element.find("BookDocument") if is_book else element
    pmid = record.find("PMID") if record is not None else None
    doc_id = pmid_of(pmid.text) if pmid is not None else None
    if doc_id is None:
        return Rejection(fallback_id, "bad_record", "a citation without a PMID")
    article = record if is_book else record.find("Article")
    if article is None:
        return Rejection(doc_id, "bad_record", "a citation without an Article")

    builder = TextBuilder()
    titles = (_text(article, path) for path in ("ArticleTitle", "Book/BookTitle", "VernacularTitle"))
    title = next(filter(None, titles), None)
    builder.add("title", title or "")
    abstracts = article.findall("Abstract")
    others = record.findall("OtherAbstract")
    if not any(normalize_space(text_of(part)) for part in article.iterfind("Abstract/AbstractText")):
        abstracts = [other for other in others if other.get("Language", "eng") == "eng"][:1]
    for part in (part for abstract in abstracts for part in abstract.iterfind("AbstractText")):
        label = normalize_space(part.get("Label", ""))
        builder.add(f"abstract/{label}" if label else "abstract", normalize_space(text_of(part)))
    metadata: dict[str, Any] = {"language": [normalize_space(text_of(e)) for e in article.iterfind("Language")]}
    if types := [normalize_space(text_of(e)) for e in article.iterfind("PublicationTypeList/PublicationType")]:
        metadata["publication_types"] = types
    if headings := [_heading(e) for e in record.iterfind("MeshHeadingList/MeshHeading")]:
        metadata["mesh"] = headings
    if left_out := [other.get("Language", "und") for other in others if other not in abstracts]:
        metadata["other_abstracts_left_out"] = left_out
    return Document(
        doc_id=doc_id,
        version=_version(pmid),
        text=builder.text,
        sections=builder.sections,
        title=title,
        year=_year(article),
        journal=_text(article, "Journal/Title") or _text(article, "Book/Publisher/PublisherName"),
        metadata=metadata,
    )


def _heading(element: Any) -> dict[str, Any]:
    """A MeSH heading: id, name, whether it is a major topic, and its qualifiers if it has any."""
    heading: dict[str, Any] = {"id": None, "name": None, "major": False}
    for part in element:
        tag, name = part.tag, normalize_space(text_of(part))
        if tag == "DescriptorName" and heading["name"] is None:
            heading |= {"id": f"MESH:{part.get('UI', '')}", "name": name}
        elif tag == "QualifierName":
            heading.setdefault("qualifiers", []).append(name)
        if tag in ("DescriptorName", "QualifierName") and part.get("MajorTopicYN") == "Y":
            heading["major"] = True
    return heading


def _version(pmid: Any) -> int:
    version = pmid.get("Version", "1")
    return int(version) if version.isdecimal() and len(version) < 10 else 1


def _year(article: Any) -> int | None:
    """Year of publication. `MedlineDate` is free text such as `1998 Dec-1999 Jan`."""
    for path in ("Journal/JournalIssue/PubDate", "Book/PubDate"):
        if (date := article.find(path)) is not None and (match := re.search(r"\d{4}", text_of(date))):
            return int(match.group())
    return None


def _text(element: Any, path: str) -> str | None:
    found = element.find(path)
    return normalize_space(text_of(found)) or None if found is not None else None


READER = Reader(
    "pubmed",
    read_pubmed,
    shared_suffixes=("xml",),
    roots=("PubmedArticleSet", "PubmedArticle", "PubmedBookArticle", "MedlineCitationSet", "MedlineCitation"),
)
