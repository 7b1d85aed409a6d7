"""An output for Python: its tables as Arrow, pandas or Polars, and SQL over them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from craft_ray.core.errors import SettingsError
from craft_ray.core.highlight import html_table
from craft_ray.storage.storage import Storage
from craft_ray.tables.database import database
from craft_ray.tables.snapshots import open_concepts, open_shards, open_snapshot, tables_exist

if TYPE_CHECKING:
    import pandas
    import polars

SHOWN = 10
"""Rows of a table that a notebook shows."""


@dataclass(frozen=True, slots=True)
class TableReader:
    """One table of an output, read when it is asked for.

    Each way to read it takes `columns`, all if None, and `where`, an Arrow expression such as
    `pyarrow.dataset.field("label") == "Protein"`; nothing else is read.
    """

    name: str
    dataset: ds.Dataset

    def __len__(self) -> int:
        return int(self.dataset.count_rows())

    def to_arrow(self, columns: list[str] | None = None, where: ds.Expression | None = None) -> pa.Table:
        """The rows as an Arrow table."""
        return self.dataset.to_table(columns=columns, filter=where)

    def to_pandas(self, columns: list[str] | None = None, where: ds.Expression | None = None) -> "pandas.DataFrame":
        """The rows as a pandas data frame.

        Raises SettingsError if pandas is not installed.
        """
        _require("pandas")
        return self.to_arrow(columns, where).to_pandas()

    def to_polars(self, columns: list[str] | None = None, where: ds.Expression | None = None) -> "polars.DataFrame":
        """The rows as a Polars data frame.

        Raises SettingsError if Polars is not installed.
        """
        frame: polars.DataFrame = _require("polars").from_arrow(self.to_arrow(columns, where))
        return frame

    def __repr__(self) -> str:
        return f"{self.name}: {len(self):,} rows; columns {', '.join(self.dataset.schema.names)}"

    def _repr_html_(self) -> str:
        rows = self.dataset.head(SHOWN).to_pylist()
        return html_table(self.dataset.schema.names, rows, f"{self.name}: {SHOWN} of {len(self):,} rows")


@dataclass(frozen=True, slots=True)
class Output:
    """The tables of an output at one moment."""

    entities: TableReader
    documents: TableReader
    shards: TableReader
    concepts: TableReader
    ancestors: TableReader

    def sql(self, query: str, **parameters: Any) -> pa.Table:
        """The rows of a query over views with the names of the tables; `$name` stands for a parameter.

        Raises duckdb.Error if the query fails.
        """
        tables = {name: getattr(self, name).dataset for name in self.__dataclass_fields__}
        with database(**tables) as connection:
            return connection.sql(query, params=parameters or None).to_arrow_table()


def open_output(storage: Storage, output: str, at: str | None = None) -> Output:
    """Open an output as it is now, as a run left it, or at a version of `documents`.

    Raises SettingsError if there are no tables, or no such state.
    """
    if not tables_exist(storage, output):
        raise SettingsError(f"there are no tables in {output}")
    snapshot = open_snapshot(storage, output, at)
    return Output(
        TableReader("entities", snapshot.entities.dataset),
        TableReader("documents", snapshot.documents.dataset),
        TableReader("shards", open_shards(storage, output)),
        *(TableReader(name, dataset) for name, dataset in open_concepts(storage, output).items()),
    )


def _require(package: str) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise SettingsError(f"{package} is not installed: pip install {package}") from error
