"""CSV and TSV with a line of column names, among them PubMed's own, which has titles alone.

In a folder these are passed over, for many collections have lists of their files as CSV: they are read by their name.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Item, Rejection
from craft_ray.readers import limits
from craft_ray.readers.archives import first_bytes
from craft_ray.readers.reader import Head, Reader, ReadOptions
from craft_ray.readers.records import document_from_record, find_columns

_DELIMITERS = {"csv": ",", "tsv": "\t"}


def read_csv(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document per row; one without an id is named by shard and the number of the row, from 1.

    Raises ShardError: `bad_record` if no column is text, `bad_encoding` for other bytes than UTF-8, `too_large`.
    """
    head = Head.of(shard, first_bytes(stream))
    delimiter = "\t" if b"\t" in head.first_line and b"," not in head.first_line else ","
    meter = _Metered(stream)
    csv.field_size_limit(limits.MAX_DOCUMENT_BYTES)
    try:
        rows = csv.reader(io.TextIOWrapper(io.BufferedReader(meter), "utf-8-sig", newline=""), delimiter=delimiter)
        names = next(rows, [])
        if not find_columns(names, options).text:
            raise ShardError("bad_record", f"no column of text among {', '.join(names)[:500]}")
        number = 0
        for row in rows:
            meter.since_row = 0
            if not row:
                continue
            number += 1
            if len(row) > len(names):
                yield Rejection(f"{shard}#{number}", "bad_record", f"{len(row)} fields for {len(names)} columns")
            else:
                record = dict(zip(names, row, strict=False))
                yield document_from_record(record, f"{shard}#{number}", options)
    except UnicodeDecodeError as error:
        raise ShardError("bad_encoding", str(error)) from error
    except csv.Error as error:
        raise ShardError("bad_record", f"not CSV: {error}") from error


class _Metered(io.RawIOBase):
    """A stream that refuses to give more of one row than a document may have."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.since_row = 0

    def readable(self) -> bool:
        """True: this is a stream to read."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Read the next bytes. Raises ShardError (`too_large`) where a row does not end."""
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        self.since_row += len(content)
        if self.since_row > limits.MAX_DOCUMENT_BYTES:
            raise limits.too_large()
        return len(content)


def _is_csv(head: Head) -> bool:
    return head.suffix in _DELIMITERS or codecs.decode(head.first_line, "utf-8", "replace").startswith("PMID,Title,")


READER = Reader("csv", read_csv, matches=_is_csv)
