"""CSV and TSV with a header row, including PubMed's own CSV, which has titles only.

They are read only if named as input. In a folder they are skipped, since CSV there is mostly a list of the other files.
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Item, Rejection
from craft_ray.readers import limits
from craft_ray.readers.archives import peek
from craft_ray.readers.reader import Head, Reader, ReadOptions
from craft_ray.readers.records import document_from_record, find_columns


def read_csv(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document per row; rows without an id are numbered from 1.

    Raises ShardError: `bad_record` without a text column, `bad_encoding` if it is not UTF-8, `too_large`.
    """
    head = Head.of(shard, peek(stream))
    delimiter = "\t" if b"\t" in head.first_line and b"," not in head.first_line else ","
    bounded = _RowLimit(stream)
    csv.field_size_limit(limits.MAX_DOCUMENT_BYTES)
    try:
        rows = csv.reader(io.TextIOWrapper(io.BufferedReader(bounded), "utf-8-sig", newline=""), delimiter=delimiter)
        names = next(rows, [])
        if not find_columns(names, options).text:
            raise ShardError("bad_record", f"no column of text among {', '.join(names)[:500]}")
        number = 0
        for row in rows:
            bounded.row_bytes = 0
            if not row:
                continue
            number += 1
            if len(row) > len(names):
                yield Rejection(f"{shard}#{number}", "bad_record", f"{len(row)} fields for {len(names)} columns")
            else:
                yield document_from_record(dict(zip(names, row, strict=False)), f"{shard}#{number}", options)
    except UnicodeDecodeError as error:
        raise ShardError("bad_encoding", str(error)) from error
    except csv.Error as error:
        raise ShardError("bad_record", f"not CSV: {error}") from error


class _RowLimit(io.RawIOBase):
    """Raises ShardError (`too_large`) when more than a document's bytes are read without resetting `row_bytes`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.row_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        self.row_bytes += len(content)
        if self.row_bytes > limits.MAX_DOCUMENT_BYTES:
            raise limits.too_large()
        return len(content)


def _is_csv(head: Head) -> bool:
    return head.suffix in ("csv", "tsv") or head.first_line.startswith(b"PMID,Title,")


READER = Reader("csv", read_csv, matches=_is_csv)
