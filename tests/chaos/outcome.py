"""The content of an output on S3, read directly from the server and apart from the code under test."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from craft_ray.tables import identity
from tests.support.outputs import document_rows, entity_rows, table
from tests.support.s3_server import S3Server

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Outcome:
    """Both tables at rest."""

    documents: list[dict[str, Any]]
    entities: list[tuple[Any, ...]]

    @property
    def ids(self) -> Counter[str]:
        return Counter(row["doc_id"] for row in self.documents)

    def moved(self, inputs: str, to: str) -> "Outcome":
        """The tables as they would be if the same inputs had been read elsewhere."""
        documents, entities = json.loads(json.dumps([self.documents, self.entities]).replace(inputs, to))
        for row in documents:
            if row["doc_id"].startswith(to):  # rejected rows alone are named by their shard, and no model counts there
                row["key"] = identity.key(row["doc_id"], row["content_hash"], "")
        return Outcome(documents, [tuple(row) for row in entities])


def options(store: S3Server) -> dict[str, str]:
    return store.environment | {"AWS_ALLOW_HTTP": "true"}


def outcome(output: str, options: dict[str, str] | None = None) -> Outcome:
    """Both tables, in a fixed order, without the columns that tell runs apart; on S3 with options to reach it."""
    return Outcome(document_rows(output, options), entity_rows(output, options))


def differing(first: Outcome, second: Outcome) -> int:
    """Rows that are in one and not in the other, revisions and doubles counted."""
    documents = [Counter(json.dumps(row) for row in each.documents) for each in (first, second)]
    entities = [Counter(each.entities) for each in (first, second)]
    return sum(((a - b) + (b - a)).total() for a, b in (documents, entities))


def patiently(look: Callable[[], _Found], seconds: float = 60.0) -> _Found:
    """The result of a look at the store, again for a while where it answers with an error.

    A store that was killed takes a PUT before it has found again all that it holds.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            return look()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(1)


def committed(store: S3Server, output: str) -> tuple[Counter[str], int]:
    """Ids of the documents that stand in an output between runs, and how many have other than all their entities."""
    try:
        documents = table(output, "documents", options(store)).select(["doc_id", "n_entities"]).to_pylist()
        entities = Counter(table(output, "entities", options(store))["doc_id"].to_pylist())
    except TableNotFoundError:  # the run ended before it made its tables
        return Counter(), 0
    halves = sum(entities[row["doc_id"]] != row["n_entities"] for row in documents)
    return Counter(row["doc_id"] for row in documents), halves


def commits(store: S3Server, output: str) -> set[str]:
    """Log entries of `documents` that bring files; others make the table, or shut another run out."""
    filesystem = store.filesystem()
    entries = filesystem.glob(f"{output}/documents/_delta_log/*.json")
    return {path for path in entries if b'"add":' in filesystem.cat_file(path)}


@dataclass(frozen=True)
class Staged:
    """A Parquet file of `documents` that no commit refers to."""

    path: str
    rows: int
    written: datetime


def snapshot(store: S3Server, output: str, name: str) -> set[str]:
    """Base names of the Parquet files that a table's log refers to."""
    try:
        delta = DeltaTable(f"{output}/{name}", storage_options=options(store))
    except TableNotFoundError:
        return set()
    return {uri.rpartition("/")[2] for uri in delta.file_uris()}


def unreferenced(store: S3Server, output: str, name: str) -> list[str]:
    """Paths of the Parquet files of a table that its log does not refer to, by their keys."""
    referred = snapshot(store, output, name)
    found = store.filesystem().find(f"{output}/{name}")
    data = (path for path in found if path.endswith(".parquet") and "/_delta_log/" not in path)
    return [path for path in data if path.rpartition("/")[2] not in referred]


def staged(store: S3Server, output: str, known: set[str]) -> list[Staged]:
    """Blocks of documents that were written and not committed, apart from those of earlier runs."""
    filesystem = store.filesystem()
    found = []
    removed = _removed(store, output)
    for path in set(unreferenced(store, output, "documents")) - known:
        if path.rpartition("/")[2] not in removed:
            with filesystem.open(path) as stream:
                rows = pq.ParquetFile(stream).metadata.num_rows
            found.append(Staged(path, rows, filesystem.info(path)["LastModified"]))
    return found


def _removed(store: S3Server, output: str) -> set[str]:
    """Base names of files that were committed once and replaced by a later commit."""
    filesystem = store.filesystem()
    names: set[str] = set()
    for path in filesystem.glob(f"{output}/documents/_delta_log/*.json"):
        text = filesystem.cat_file(path).decode()
        names.update(name.rpartition("/")[2] for name in re.findall(r'"remove":\{"path":"([^"]+)"', text))
    return names
