"""BioC collections in XML and JSON (https://bioc.sourceforge.net).

Passages and sentences keep the offsets that the file states, where possible. The infon `section_type` or `type` of a
passage names its section, and the `ArticlePart` that it belongs to: those are read on request, as in JATS. Annotations
and relations are not read.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from craft_ray.core.schema import Document, Item, Rejection
from craft_ray.readers.compression import peek
from craft_ray.readers.ids import own_id
from craft_ray.readers.json_values import json_values, parse_json
from craft_ray.readers.reader import Head, Reader, ReadOptions
from craft_ray.readers.text_builder import SEPARATOR, TextBuilder
from craft_ray.readers.xml import iter_elements, text_of

_COLLECTIONS = ("documents", "PubTator3")
"""Keys of a collection's documents; PubTator 3's service uses one of its own."""


_PART_BY_TYPE = {
    **dict.fromkeys(("ref", "reference", "references"), "references"),
    **dict.fromkeys(("footnote", "footnote_title"), "footnotes"),
    "table": "tables",
}
_PART_BY_SECTION = {
    "ref": "references",
    "ack_fund": "acknowledgements",
    "appendix": "appendices",
    **dict.fromkeys(("abbr", "auth_cont", "comp_int", "review_info"), "back"),
}
"""Optional parts by the infons `type` and `section_type`, as PubMed Central and PubTator write them. Captions and notes
of a table have another type than its cells."""


@dataclass(frozen=True, slots=True)
class _Passage:
    infons: Mapping[str, Any]
    offset: int | None
    text: str


def read_bioc(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each document of a collection.

    Raises ShardError: `bad_xml` or `bad_json` where the stream stops being either, `too_large` if a document does not
    end.
    """
    head = Head.of("", peek(stream))
    return _read_json(stream, shard, head, options) if head.is_json else _read_xml(stream, shard, options)


def _read_xml(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    for number, element in enumerate(iter_elements(stream, ("document",))):
        passages = [_xml_passage(passage) for passage in element.iterfind("passage")]
        name = (element.findtext("id") or "").strip()
        yield _build_document(name or f"{shard}#{number}", _infons(element), passages, options)


def _xml_passage(element: Any) -> _Passage:
    offset = _parse_offset(element.findtext("offset"))
    text = " ".join(text_of(found) for found in element.iterfind("text"))
    sentences = ((s.findtext("offset"), text_of(s.find("text"))) for s in element.iterfind("sentence[text]"))
    return _Passage(_infons(element), offset, text or _join(sentences, offset))


def _infons(element: Any) -> dict[str, str]:
    return {e.get("key", ""): e.text or "" for e in element.iterfind("infon")}


def _read_json(stream: BinaryIO, shard: str, head: Head, options: ReadOptions) -> Iterator[Item]:
    """Read a collection, an array of collections, or documents without a collection."""
    is_collection = _has_collection(head) or not _has_key(head, "passages")
    level = head.start.startswith(b"[") + (2 if is_collection else 0)
    for number, content in enumerate(json_values(stream, level, _COLLECTIONS if is_collection else ())):
        record = parse_json(content, f"{shard}#{number}")
        yield record if isinstance(record, Rejection) else _json_document(record, f"{shard}#{number}", options)


def _json_document(record: Any, fallback_id: str, options: ReadOptions) -> Document | Rejection:
    try:
        id = record.get("id")
        if not (id is None or isinstance(id, str | int)):
            return Rejection(fallback_id, "bad_record", f"`id` is {type(id).__name__}, neither text nor a number")
        passages = [_json_passage(passage) for passage in record["passages"]]
        return _build_document(str(id or fallback_id), record.get("infons", {}), passages, options)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        return Rejection(fallback_id, "bad_record", f"not a BioC document: {type(error).__name__} {error}")


def _json_passage(passage: Any) -> _Passage:
    offset = _parse_offset(passage.get("offset"))
    text = passage.get("text")
    if not text and (sentences := passage.get("sentences")):
        text = _join([(s.get("offset"), s["text"]) for s in sentences], offset)
    return _Passage(passage.get("infons", {}), offset, text or "")


def _join(sentences: Iterable[tuple[Any, str]], start: int | None) -> str:
    """Text of a passage from its sentences, each at its stated offset, else separated by a blank."""
    builder = TextBuilder(" ")
    for stated, sentence in sentences:
        offset = _parse_offset(stated)
        builder.add("", sentence, None if offset is None or start is None else offset - start)
    return builder.text


def _parse_offset(stated: Any) -> int | None:
    digits = str(stated).strip()
    return int(digits) if digits.isdecimal() and len(digits) < 12 else None


def _build_document(name: str, infons: Mapping[str, Any], passages: list[_Passage], options: ReadOptions) -> Document:
    builder = TextBuilder()
    title = None
    words_left_out: Counter[str] = Counter()
    gap = 0
    for number, passage in enumerate(passages):
        kind = str(passage.infons.get("type", "")).lower()
        section = str(passage.infons.get("section_type") or kind or "passage").lower()
        part = _PART_BY_TYPE.get(kind) or _PART_BY_SECTION.get(section)
        if part is not None and part not in options.include:
            words_left_out[part] += len(passage.text.split())
            gap += len(passage.text) + len(SEPARATOR)
            continue
        builder.add(section, passage.text, passage.offset, gap)
        gap = 0 if passage.text else gap
        if number == 0 and "title" in (section, kind):
            title = passage.text
    first = passages[0].infons if passages else {}
    year = str(infons.get("year") or first.get("year", ""))
    journal = infons.get("journal") or first.get("journal")
    return Document(
        doc_id=own_id(name, {**first, **infons}, number_is_pmid=title is not None),
        text=builder.text,
        sections=builder.sections,
        title=title,
        year=int(year) if year.isdecimal() and len(year) == 4 else None,
        journal=str(journal) if journal else None,
        metadata={**infons, "words_left_out": dict(words_left_out)} if words_left_out else dict(infons),
    )


def _has_collection(head: Head) -> bool:
    return _has_key(head, *_COLLECTIONS)


def _has_key(head: Head, *names: str) -> bool:
    return re.search(rb'"(?:%s)"\s*:' % "|".join(names).encode(), head.start) is not None


def _is_bioc(head: Head) -> bool:
    if head.is_xml:
        return next(head.elements, "") == "collection"
    is_document = _has_key(head, "passages") and _has_key(head, "offset")
    return head.suffix != "txt" and head.is_json and (_has_collection(head) or is_document)


READER = Reader("bioc", read_bioc, shared_suffixes=("xml", "json"), matches=_is_bioc)
