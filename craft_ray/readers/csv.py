"""CSV and TSV with a header row, including PubMed's own CSV, which has titles only.

In a folder they are read only if compressed: others there are mostly lists of the other files.
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Item, Rejection
from craft_ray.readers import limits
from craft_ray.readers.compression import peek
from craft_ray.readers.limits import CSV, Record
from craft_ray.readers.reader import Head, Reader, ReadOptions, not_utf8
from craft_ray.readers.records import document_from_record, find_columns, names_of, unique_names

SUFFIXES = ("csv", "tsv")

_DELIMITERS = (",", "\t", ";", "|")


def read_csv(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document per row; rows without an id are numbered from 1.

    Raises ShardError: `bad_record` without a text column, `too_large`.
    """
    csv.field_size_limit(limits.MAX_DOCUMENT_BYTES)
    head, record = Head.of(shard, peek(stream)), Record(CSV)
    text = io.TextIOWrapper(io.BufferedReader(_Weighed(stream, record)), "utf-8-sig", "surrogateescape", newline="")
    try:
        rows = csv.reader(text, delimiter=_delimiter(head))
        names = unique_names(next(rows, []))
        if not find_columns(tuple(names), options).text:
            raise ShardError("bad_record", f"no text among {names_of(names)}")
        number = 0
        for row in rows:
            record.reset()
            if row:
                number += 1
                yield _read_row(names, row, f"{shard}#{number}", options)
    except csv.Error as error:
        raise ShardError("bad_record", f"not CSV: {error}") from error


def _delimiter(head: Head) -> str:
    """The character that splits the header into most columns."""
    text = head.start.decode("utf-8", "replace")
    headers = {mark: next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), []) for mark in _DELIMITERS}
    return max(headers, key=lambda mark: len(headers[mark]))


def _read_row(names: list[str], row: list[str], fallback_id: str, options: ReadOptions) -> Item:
    if len(row) > len(names):
        return Rejection(fallback_id, "bad_record", f"{len(row)} fields for {len(names)} columns")
    try:
        "".join(row).encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejection(fallback_id, "bad_encoding", not_utf8(error))
    return document_from_record(dict(zip(names, row, strict=False)), fallback_id, options)


class _Weighed(io.RawIOBase):
    """A stream that adds what is read of it to a record."""

    def __init__(self, stream: BinaryIO, record: Record) -> None:
        self._stream, self._record = stream, record

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        self._record.add(content)
        return len(content)


def _is_csv(head: Head) -> bool:
    return head.suffix in SUFFIXES or head.first_line.startswith(b"PMID,Title,")


READER = Reader("csv", read_csv, matches=_is_csv)
