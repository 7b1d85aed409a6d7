"""JSON lines: one object per line, with `id` and `text`; `title` and `year` have columns, the rest is metadata."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from craft_ray.core.schema import Document, Item, Rejection, Section
from craft_ray.readers.limits import JSON, lines, too_large
from craft_ray.readers.reader import Head, Reader, ReadOptions


def read_jsonl(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document a line; blank lines are passed over. A line without an id is named by shard and line number."""
    for number, line in enumerate(lines(stream, JSON), start=1):
        fallback_id = f"{shard}#{number}"
        if line is None:
            yield Rejection(fallback_id, "too_large", too_large().detail)
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            record = json.loads(text, parse_constant=_no_json) if line.strip() else None
        except UnicodeDecodeError as error:
            yield Rejection(fallback_id, "bad_encoding", str(error))
        except (ValueError, RecursionError) as error:
            yield Rejection(fallback_id, "bad_json", str(error))
        else:
            if line.strip():
                yield document_from_record(record, fallback_id)


def _no_json(name: str) -> None:
    """NaN, Infinity and -Infinity, which `json` takes for numbers."""
    raise ValueError(f"{name} is not JSON")


def document_from_record(record: Any, fallback_id: str) -> Document | Rejection:
    """A Document from a mapping with `text` and, mostly, `id`."""
    if not isinstance(record, Mapping):
        return Rejection(fallback_id, "bad_record", f"expected an object, found {type(record).__name__}")
    given = record.get("id")
    if not (given is None or isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool))):
        return Rejection(fallback_id, "bad_record", f"`id` is {type(given).__name__}, neither text nor a whole number")
    doc_id = fallback_id if given in (None, "") else str(given)
    text = record.get("text")
    if not isinstance(text, str):
        return Rejection(doc_id, "bad_record", "no `text`" if text is None else f"`text` is {type(text).__name__}")
    title, year = record.get("title"), record.get("year")
    is_year = isinstance(year, int) and not isinstance(year, bool) and 0 < year < 10_000
    return Document(
        doc_id=doc_id,
        text=text,
        sections=(Section("text", 0, len(text)),) if text else (),
        title=title if isinstance(title, str) else None,
        year=year if is_year else None,
        metadata={key: value for key, value in record.items() if key not in ("id", "text", "title", "year")},
    )


def _is_json(head: Head) -> bool:
    return head.suffix != "txt" and head.start[:1] in (b"{", b"[")


READER = Reader("jsonl", read_jsonl, suffixes=("jsonl", "ndjson", "json"), owned=("jsonl", "ndjson"), matches=_is_json)
