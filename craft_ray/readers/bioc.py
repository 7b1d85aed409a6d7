"""BioC collections in XML and JSON (https://bioc.sourceforge.net).

A passage stands in the text at the offset its file states, where that can be; its `section_type` or `type` names its
section. Annotations and relations are not read.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import ijson

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Document, Item, Rejection
from craft_ray.readers.composing import Composer
from craft_ray.readers.limits import JSON, BoundedReader
from craft_ray.readers.reader import HEAD, Head, Reader, ReadOptions
from craft_ray.readers.xml import text_of, xml_elements

_STARTS = ("start_map", "start_array")
_DEEPEST = 128

_Passage = tuple[Mapping[str, Any], Any, str]


def read_bioc(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each document of a collection in XML or JSON.

    Raises ShardError (`bad_xml`, `bad_json`) where the stream stops being what it began as, or (`too_large`) where a
    document does not end.
    """
    begins_as_json = Head.of("", stream.read(HEAD)).start[:1] in (b"{", b"[")
    stream.seek(0)
    return _read_json(stream, shard) if begins_as_json else _read_xml(stream, shard)


def _read_xml(stream: BinaryIO, shard: str) -> Iterator[Item]:
    """Yield a Document for each `document` element."""
    for number, element in enumerate(xml_elements(stream, ("document",))):
        passages: list[_Passage] = []
        for passage in element.iterfind("passage"):
            texts = passage.findall("text") or passage.findall("sentence/text")
            text = " ".join(text_of(t) for t in texts)
            passages.append((_infons(passage), passage.findtext("offset"), text))
        name = (element.findtext("id") or "").strip()
        yield _document(name or f"{shard}#{number}", _infons(element), passages)


def _read_json(stream: BinaryIO, shard: str) -> Iterator[Item]:
    """Yield a Document for each document of a collection, or of a list of collections; read in a stream.

    Raises ShardError (`bad_json`) where the stream stops being JSON, or (`too_large`) where a document does not end.
    """
    stream.seek(0)
    is_list = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    stream.seek(0)
    meter = BoundedReader(stream, JSON, growing=True)
    try:
        # Numbers that no float or 64-bit integer holds end the stream; without `use_float` they end the process.
        events = ijson.basic_parse(meter, use_float=True)
        for number, record in enumerate(_documents(events, 2 + is_list)):
            yield _from_json(record, f"{shard}#{number}")
            meter.reset()
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise ShardError("bad_json", str(error)) from error


def _documents(events: Iterable[tuple[str, Any]], level: int) -> Iterator[Any]:
    """Build what stands in `documents`, `level` levels down; what is nested in it deeper than _DEEPEST is left out.

    `ijson.items` does nearly this, but what it keeps of an array grows with the square of its depth.

    Raises ShardError (`bad_record`) if there is no `documents`.
    """
    depth, key, found = 0, None, False
    builder = ijson.ObjectBuilder()
    for event, value in events:
        depth -= event in ("end_map", "end_array")
        if event == "map_key" and depth < level:
            key = value if depth == level - 1 else None
            found |= key == "documents"
        elif key == "documents" and level <= depth < level + _DEEPEST:
            builder.event(event, value)
            if depth == level and event not in _STARTS:
                yield builder.value
                builder = ijson.ObjectBuilder()
        depth += event in _STARTS
    if not found:
        raise ShardError("bad_record", "a collection without `documents`")


def _from_json(record: Any, fallback_id: str) -> Document | Rejection:
    try:
        given = record.get("id")
        if not (given is None or isinstance(given, str | int)):
            return Rejection(fallback_id, "bad_record", f"`id` is {type(given).__name__}, neither text nor a number")
        name = str(given or fallback_id)
        passages: list[_Passage] = []
        for passage in record["passages"]:
            text = passage.get("text")
            if text is None:
                text = " ".join(sentence["text"] for sentence in passage.get("sentences", []))
            passages.append((passage.get("infons", {}), passage.get("offset"), text))
        return _document(name, record.get("infons", {}), passages)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        return Rejection(fallback_id, "bad_record", f"not a BioC document: {type(error).__name__} {error}")


def _document(name: str, infons: Mapping[str, Any], passages: list[_Passage]) -> Document:
    composer = Composer()
    title = None
    for number, (described, offset, text) in enumerate(passages):
        section = str(described.get("section_type") or described.get("type") or "passage").lower()
        if (stated := str(offset)).isdecimal() and len(stated) < 12:
            composer.pad_to(int(stated))
        composer.add(section, text)
        if number == 0 and "title" in (section, str(described.get("type", "")).lower()):
            title = text
    year = str(infons.get("year") or (passages[0][0].get("year", "") if passages else ""))
    journal = infons.get("journal") or (passages[0][0].get("journal") if passages else None)
    return Document(
        doc_id=name,
        text=composer.text,
        sections=composer.sections,
        title=title,
        year=int(year) if year.isdecimal() and len(year) == 4 else None,
        journal=str(journal) if journal else None,
        metadata=dict(infons),
    )


def _infons(element: Any) -> dict[str, str]:
    return {e.get("key", ""): e.text or "" for e in element.iterfind("infon")}


def _is_bioc_json(head: Head) -> bool:
    is_json = head.suffix != "txt" and head.start[:1] in (b"{", b"[")
    return is_json and (b'"documents"' in head.start or b'"passages"' in head.first_line)


READER = Reader("bioc", read_bioc, suffixes=("xml", "json"), roots=("collection",), matches=_is_bioc_json)
