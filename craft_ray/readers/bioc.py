"""BioC collections in XML and JSON (https://bioc.sourceforge.net).

A passage or sentence stands in the text at the offset its file states, where that can be. A
passage's `section_type` or `type` names its section. Annotations and relations are not read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from craft_ray.core.schema import Document, Item, Rejection
from craft_ray.readers.archives import first_bytes
from craft_ray.readers.json_values import json_values
from craft_ray.readers.reader import Head, Reader, ReadOptions
from craft_ray.readers.text_builder import TextBuilder
from craft_ray.readers.xml import text_of, xml_elements

_COLLECTIONS = ("documents", "PubTator3")
"""Keys that hold the documents of a collection; the second is that of PubTator 3's own service."""

_COLLECTION_KEYS = tuple(f'"{key}"'.encode() for key in _COLLECTIONS)


@dataclass(frozen=True, slots=True)
class _Passage:
    """A passage or a sentence of one: its infons, the offset that its file states, and its text."""

    infons: Mapping[str, Any]
    offset: int | None
    text: str


def read_bioc(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each document of a collection in XML or JSON.

    Raises ShardError (`bad_xml`, `bad_json`) where the stream stops being what it began as, or (`too_large`) where a
    document does not end.
    """
    begins_as_json = Head.of("", first_bytes(stream)).start[:1] in (b"{", b"[")
    return _read_json(stream, shard) if begins_as_json else _read_xml(stream, shard)


def _read_xml(stream: BinaryIO, shard: str) -> Iterator[Item]:
    """Yield a Document for each `document` element."""
    for number, element in enumerate(xml_elements(stream, ("document",))):
        passages = [_xml_passage(passage) for passage in element.iterfind("passage")]
        name = (element.findtext("id") or "").strip()
        yield _document(name or f"{shard}#{number}", _infons(element), passages)


def _xml_passage(element: Any) -> _Passage:
    offset = _offset(element.findtext("offset"))
    text = " ".join(text_of(found) for found in element.iterfind("text"))
    sentences = [(_offset(s.findtext("offset")), text_of(s.find("text"))) for s in element.iterfind("sentence[text]")]
    return _Passage(_infons(element), offset, text or _joined(sentences, offset))


def _joined(sentences: Iterable[tuple[int | None, str]], start: int | None) -> str:
    """The text of a passage that is given by its sentences, each at the offset that its file states, else apart."""
    builder = TextBuilder(" ")
    for offset, sentence in sentences:
        builder.add("", sentence, None if offset is None or start is None else offset - start)
    return builder.text


def _offset(stated: Any) -> int | None:
    """An offset as a file states it; None for what is no number of a position."""
    digits = str(stated).strip()
    return int(digits) if digits.isdecimal() and len(digits) < 12 else None


def _read_json(stream: BinaryIO, shard: str) -> Iterator[Item]:
    """Yield a Document for each document of a collection, of a list of collections or standing alone, in a stream.

    Raises ShardError (`bad_json`) where the stream stops being JSON, or (`too_large`) where a document does not end.
    """
    head = Head.of("", first_bytes(stream))
    stands_alone = not any(key in head.start for key in _COLLECTION_KEYS) and b'"passages"' in head.start
    level = head.start.startswith(b"[") + (0 if stands_alone else 2)
    for number, record in enumerate(json_values(stream, level, () if stands_alone else _COLLECTIONS)):
        yield _from_json(record, f"{shard}#{number}")


def _from_json(record: Any, fallback_id: str) -> Document | Rejection:
    try:
        given = record.get("id")
        if not (given is None or isinstance(given, str | int)):
            return Rejection(fallback_id, "bad_record", f"`id` is {type(given).__name__}, neither text nor a number")
        name = str(given or fallback_id)
        passages = [_json_passage(passage) for passage in record["passages"]]
        return _document(name, record.get("infons", {}), passages)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        return Rejection(fallback_id, "bad_record", f"not a BioC document: {type(error).__name__} {error}")


def _json_passage(passage: Any) -> _Passage:
    offset = _offset(passage.get("offset"))
    text = passage.get("text")
    if not text and (sentences := passage.get("sentences")):
        text = _joined([(_offset(s.get("offset")), s["text"]) for s in sentences], offset)
    return _Passage(passage.get("infons", {}), offset, text or "")


def _document(name: str, infons: Mapping[str, Any], passages: list[_Passage]) -> Document:
    builder = TextBuilder()
    title = None
    for number, passage in enumerate(passages):
        kind = str(passage.infons.get("type", "")).lower()
        section = str(passage.infons.get("section_type") or kind or "passage").lower()
        builder.add(section, passage.text, passage.offset)
        if number == 0 and "title" in (section, kind):
            title = passage.text
    first = passages[0].infons if passages else {}
    year = str(infons.get("year") or first.get("year", ""))
    journal = infons.get("journal") or first.get("journal")
    return Document(
        doc_id=name,
        text=builder.text,
        sections=builder.sections,
        title=title,
        year=int(year) if year.isdecimal() and len(year) == 4 else None,
        journal=str(journal) if journal else None,
        metadata=dict(infons),
    )


def _infons(element: Any) -> dict[str, str]:
    return {e.get("key", ""): e.text or "" for e in element.iterfind("infon")}


def _is_bioc_json(head: Head) -> bool:
    is_json = head.suffix != "txt" and head.start[:1] in (b"{", b"[")
    return is_json and (any(key in head.start for key in _COLLECTION_KEYS) or b'"passages"' in head.start)


READER = Reader("bioc", read_bioc, suffixes=("xml", "json"), roots=("collection",), matches=_is_bioc_json)
