"""DuckDB over the tables of an output: in memory, and on disk where that is not enough.

DuckDB sees the Delta snapshots as Arrow datasets, and pushes columns and filters down to them. So object storage is
read through the same client, and with the same credentials, as everything else.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from craft_ray.tables.snapshots import Snapshot


@contextmanager
def database(**views: ds.Dataset | pa.RecordBatchReader) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with a view for each dataset, or for a stream of rows, which can be read once."""
    with tempfile.TemporaryDirectory(prefix="craft-ray-") as folder, duckdb.connect() as connection:
        connection.execute("SET temp_directory = ?", [folder])
        connection.execute("SET enable_external_access = false")  # a query reads the views, and no file or address
        connection.execute("SET python_enable_replacements = false")  # nor variables of this program
        for name, dataset in views.items():
            connection.register(name, dataset)
        yield connection


def views(snapshot: Snapshot) -> Mapping[str, ds.Dataset]:
    """Views `entities` and `documents` of a snapshot."""
    return {"entities": snapshot.entities.dataset, "documents": snapshot.documents.dataset}
