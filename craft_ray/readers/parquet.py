"""Parquet with the columns `id` and `text`; `title` and `year` fill their columns, all else is metadata."""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from craft_ray.errors import ShardError
from craft_ray.readers.jsonl import document_from_record
from craft_ray.schema import Item


def read_parquet(stream: BinaryIO, shard: str) -> Iterator[Item]:
    """Yield a Document a row, in batches of rows; a row without an id is named by shard and row number.

    Raises ShardError (`bad_record`) if the file is not Parquet or has no `text` column.
    """
    try:
        file = pq.ParquetFile(stream)
    except pa.ArrowInvalid as error:
        raise ShardError("bad_record", f"not a Parquet file: {error}") from error
    if "text" not in file.schema_arrow.names:
        raise ShardError("bad_record", f"no `text` column among {', '.join(file.schema_arrow.names)}")
    number = 0
    try:
        for batch in file.iter_batches(batch_size=256):
            for record in batch.to_pylist():
                yield document_from_record(record, f"{shard}#{number}")
                number += 1
    except (pa.ArrowInvalid, OSError) as error:
        raise ShardError("bad_record", f"after {number} rows: {error}") from error
