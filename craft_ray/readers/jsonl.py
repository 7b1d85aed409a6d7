"""JSON records: one object per line, an array of objects, or pretty-printed objects one after the other."""

import json
from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Item, Rejection
from craft_ray.readers.compression import peek
from craft_ray.readers.json_values import find_layout, json_values, parse_json
from craft_ray.readers.limits import JSON, bounded_lines, too_large
from craft_ray.readers.reader import Head, Reader, ReadOptions
from craft_ray.readers.records import document_from_record, is_id_column, is_text_column

_MAX_BAD_LINES = 10_000
"""Bad lines at the start of a file that are rejected one by one; after more, the whole file is."""


def read_jsonl(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document per object; those without an id are named by line, or by number from 1 in an array.

    Raises ShardError (`bad_json`) if no line is JSON, or where an array or a multi-line object stops being JSON.
    """
    head = Head.of("", peek(stream))
    layout = find_layout(head.start, lambda key: is_text_column(key, options), lambda key: is_id_column(key, options))
    if _is_by_line(head) and (layout.level == 0 or head.start.startswith(b"[")):
        return _read_lines(stream, shard, options)
    records = json_values(stream, layout.level, layout.keys)
    return (_read_record(record, f"{shard}#{n}", options) for n, record in enumerate(records, start=1))


def _is_by_line(head: Head) -> bool:
    """False if the first line starts an array of objects, or an object that continues on the next line."""
    line, end, _ = head.start.partition(b"\n")
    is_array = line.startswith(b"[")
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        continues = line.startswith(b"{") and end and error.pos >= len(error.doc.rstrip())
        return not (is_array or continues)
    except (ValueError, RecursionError):  # not UTF-8, or nested too deeply
        return True
    return not (is_array and value and all(isinstance(item, dict) for item in value))


def _read_lines(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    bad: list[Rejection] = []  # before the first good line
    is_json = False
    try:
        for number, line in enumerate(bounded_lines(stream, JSON), start=1):
            if line is not None and not line.strip():
                continue
            item = _read_record(line, f"{shard}#{number}", options)
            if not is_json and isinstance(item, Rejection) and item.reason in ("bad_json", "bad_encoding"):
                bad.append(item)
                if len(bad) > _MAX_BAD_LINES:
                    break
                continue
            is_json = True
            yield from bad
            bad.clear()
            yield item
    except ShardError:
        yield from bad
        raise
    if bad:
        raise ShardError(bad[0].reason, f"none of the first {len(bad):,} lines is JSON: {bad[0].detail}")


def _read_record(content: bytes | None, fallback_id: str, options: ReadOptions) -> Item:
    if content is None:
        return Rejection(fallback_id, "too_large", too_large().detail)
    return document_from_record(parse_json(content, fallback_id), fallback_id, options)


def _is_json(head: Head) -> bool:
    if head.suffix != "txt":
        return head.is_json
    try:  # prose may begin with a bracket
        return head.start.startswith(b"{") and isinstance(json.loads(head.first_line), dict)
    except (ValueError, RecursionError):
        return False


READER = Reader("jsonl", read_jsonl, suffixes=("jsonl", "ndjson"), shared_suffixes=("json",), matches=_is_json)
