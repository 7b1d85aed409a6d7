"""DuckDB over the tables of an output, in memory with spill to disk.

DuckDB reads the tables as Arrow datasets and pushes columns and filters down to them, so object storage is accessed
with the same client and credentials as everywhere else.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds


@contextmanager
def database(**views: ds.Dataset | pa.RecordBatchReader) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a view of each dataset. A view of a RecordBatchReader can be queried only once."""
    with tempfile.TemporaryDirectory(prefix="craft-ray-") as folder, duckdb.connect() as connection:
        connection.execute("SET temp_directory = ?", [folder])
        connection.execute("SET enable_external_access = false")  # no files, no network
        connection.execute("SET python_enable_replacements = false")  # no variables of this process
        for name, dataset in views.items():
            connection.register(name, dataset)
        yield connection
