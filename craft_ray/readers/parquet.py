"""Parquet with the columns `id` and `text`; `title` and `year` fill their columns, all else is metadata."""

import io
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Document, Item, Rejection
from craft_ray.readers.archives import is_packed
from craft_ray.readers.limits import read_all
from craft_ray.readers.reader import Reader, ReadOptions
from craft_ray.readers.records import document_from_record, find_columns


def read_parquet(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document a row, in batches of rows; a row without an id is named by shard and row number.

    Raises ShardError (`bad_record`) if the file is not Parquet or has no `text` column.
    """
    number = 0
    try:
        # Parquet is read from its end, so what is unpacked in a stream is held whole.
        seekable = io.BytesIO(read_all(stream)) if is_packed(stream) else stream
        file = pq.ParquetFile(seekable)
        names = file.schema_arrow.names
        if not find_columns(names, options).text:
            raise ShardError("bad_record", f"no column of text among {', '.join(names)[:500]}")
        for batch in file.iter_batches(batch_size=256):
            for row in range(batch.num_rows):
                yield _document(batch.slice(row, 1), f"{shard}#{number}", options)
                number += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ShardError("bad_record", f"not Parquet, or damaged after {number} rows: {error}") from error


def _document(row: pa.RecordBatch, fallback_id: str, options: ReadOptions) -> Document | Rejection:
    try:
        (record,) = row.to_pylist()
    except UnicodeDecodeError as error:
        return Rejection(fallback_id, "bad_encoding", str(error))
    except (ValueError, OverflowError) as error:  # dates, and whatever else Python's types cannot hold
        return Rejection(fallback_id, "bad_record", str(error))
    return document_from_record(record, fallback_id, options)


READER = Reader("parquet", read_parquet, suffixes=("parquet",), owned=("parquet",), magic=b"PAR1")
