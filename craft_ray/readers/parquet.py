"""Parquet with a document per row."""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Item, Rejection
from craft_ray.readers.compression import seekable
from craft_ray.readers.reader import Reader, ReadOptions
from craft_ray.readers.records import document_from_record, find_columns, names_of


def read_parquet(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document per row; rows without an id are numbered from 0.

    Raises ShardError (`bad_record`) if the file is not Parquet or has no text column.
    """
    number = 0
    try:
        # Parquet is read from its end, so a decompressed stream must be in memory.
        file = pq.ParquetFile(seekable(stream))
        names = file.schema_arrow.names
        if not find_columns(tuple(names), options).text:
            raise ShardError("bad_record", f"no text among {names_of(names)}")
        # Row by row, since many rows may share one huge value of a dictionary. Threads would cost more than they gain.
        for row in file.iter_batches(batch_size=1, use_threads=False):
            yield _read_row(row, f"{shard}#{number}", options)
            number += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ShardError("bad_record", f"not Parquet, or damaged after {number} rows: {error}") from error


def _read_row(row: pa.RecordBatch, fallback_id: str, options: ReadOptions) -> Item:
    try:
        (record,) = row.to_pylist()
    except UnicodeDecodeError as error:
        return Rejection(fallback_id, "bad_encoding", str(error))
    except (ValueError, OverflowError) as error:  # dates and other values that Python's types cannot represent
        return Rejection(fallback_id, "bad_record", str(error))
    return document_from_record(record, fallback_id, options)


READER = Reader("parquet", read_parquet, suffixes=("parquet",), magic=b"PAR1")
