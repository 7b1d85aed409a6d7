"""JSON: an object per line, an array of objects, or objects one after the other over many lines."""

import json
from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Item, Rejection
from craft_ray.readers.archives import first_bytes
from craft_ray.readers.json_values import json_values
from craft_ray.readers.limits import JSON, lines, too_large
from craft_ray.readers.reader import Head, Reader, ReadOptions
from craft_ray.readers.records import document_from_record

_HELD = 10_000
"""Bad lines before the first good one that are listed one by one; a file with more of them is no JSON lines."""


def read_jsonl(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document per object, one without an id named by shard and line, or by its number from 1 in an array.

    Raises ShardError (`bad_json`) if no line is JSON, or where an array or a longer object stops being JSON.
    """
    head = Head.of("", first_bytes(stream))
    is_by_line = _is_by_line(head)
    return _lines(stream, shard, options) if is_by_line else _values(stream, shard, options, head.start[:1] == b"[")


def _is_by_line(head: Head) -> bool:
    """True unless the first line begins an array of objects, or an object that goes on in the next line."""
    line, end, _ = head.start.partition(b"\n")
    is_array = line.startswith(b"[")
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        goes_on = line.startswith(b"{") and end and error.pos >= len(error.doc.rstrip())
        return not (is_array or goes_on)
    except (ValueError, RecursionError):  # other bytes than UTF-8, and what is nested too deeply
        return True
    return not (is_array and value and all(isinstance(item, dict) for item in value))


def _lines(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Documents of JSON lines; blank lines are passed over."""
    held: list[Rejection] = []  # bad lines before the first good one
    is_json = False
    try:
        for number, line in enumerate(lines(stream, JSON), start=1):
            if line is not None and not line.strip():
                continue
            item = _item(line, f"{shard}#{number}", options, first=number == 1)
            if not is_json and isinstance(item, Rejection) and item.reason in ("bad_json", "bad_encoding"):
                held.append(item)
                if len(held) > _HELD:
                    break
                continue
            is_json = True
            yield from held
            held.clear()
            yield item
    except ShardError:
        yield from held
        raise
    if held:
        first = held[0]
        raise ShardError(first.reason, f"none of the first {len(held):,} lines is JSON: {first.detail}")


def _item(line: bytes | None, place: str, options: ReadOptions, first: bool) -> Item:
    """The document of a line, or its rejection."""
    if line is None:
        return Rejection(place, "too_large", too_large().detail)
    try:
        record = json.loads(line.decode("utf-8-sig" if first else "utf-8"), parse_constant=_no_json)
    except UnicodeDecodeError as error:
        return Rejection(place, "bad_encoding", str(error))
    except (ValueError, RecursionError) as error:
        return Rejection(place, "bad_json", str(error))
    return document_from_record(record, place, options)


def _no_json(name: str) -> None:
    """NaN, Infinity and -Infinity, which `json` takes for numbers."""
    raise ValueError(f"{name} is not JSON")


def _values(stream: BinaryIO, shard: str, options: ReadOptions, is_array: bool) -> Iterator[Item]:
    """Documents of arrays and of objects over many lines, in a stream."""
    for number, record in enumerate(json_values(stream, int(is_array)), start=1):
        yield document_from_record(record, f"{shard}#{number}", options)


def _is_json(head: Head) -> bool:
    if head.suffix == "txt":  # where prose may begin with a bracket
        return head.start.startswith(b"{") and _is_object(head.first_line)
    return head.start[:1] in (b"{", b"[")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


READER = Reader("jsonl", read_jsonl, suffixes=("jsonl", "ndjson", "json"), owned=("jsonl", "ndjson"), matches=_is_json)
