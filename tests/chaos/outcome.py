"""The content of an output on S3, read without the code under test."""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from craft_ray.tables import identity
from tests.support.outputs import document_rows, entity_rows, table
from tests.support.s3_server import S3Server

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Outcome:
    """The rows of both tables, in a fixed order and without the columns that differ between runs."""

    documents: list[dict[str, Any]]
    entities: list[tuple[Any, ...]]

    @property
    def ids(self) -> Counter[str]:
        return Counter(row["doc_id"] for row in self.documents)

    def moved(self, inputs: str, to: str) -> "Outcome":
        """The rows if the same inputs had been read from another folder."""
        documents, entities = json.loads(json.dumps([self.documents, self.entities]).replace(inputs, to))
        for row in documents:
            if row["doc_id"].startswith(to):  # only rejected rows are named by their shard
                row["key"] = identity.key(row["doc_id"], row["content_hash"], "")
        return Outcome(documents, [tuple(row) for row in entities])


def options(store: S3Server) -> dict[str, str]:
    return store.environment | {"AWS_ALLOW_HTTP": "true"}


def outcome(output: str, options: dict[str, str] | None = None) -> Outcome:
    return Outcome(document_rows(output, options), entity_rows(output, options))


def differing(first: Outcome, second: Outcome) -> int:
    """How many rows, duplicates included, are in one of them and not in the other."""
    documents = [Counter(json.dumps(row) for row in each.documents) for each in (first, second)]
    entities = [Counter(each.entities) for each in (first, second)]
    return sum(((a - b) + (b - a)).total() for a, b in (documents, entities))


def patiently(look: Callable[[], _Found], seconds: float = 60.0) -> _Found:
    """Retry for a while: a store that was killed accepts writes before it can read everything again."""
    until = time.monotonic() + seconds
    while True:
        try:
            return look()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(1)


def committed(store: S3Server, output: str) -> tuple[Counter[str], int]:
    """Ids of the documents committed so far, and how many of them lack entities or have too many."""
    try:
        documents = table(output, "documents", options(store)).select(["doc_id", "n_entities"]).to_pylist()
        entities = Counter(table(output, "entities", options(store))["doc_id"].to_pylist())
    except TableNotFoundError:  # no run has come so far
        return Counter(), 0
    halves = sum(entities[row["doc_id"]] != row["n_entities"] for row in documents)
    return Counter(row["doc_id"] for row in documents), halves


def commits(store: S3Server, output: str) -> set[str]:
    """Log entries of `documents` that add files."""
    filesystem = store.filesystem()
    entries = filesystem.glob(f"{output}/documents/_delta_log/*.json")
    return {path for path in entries if b'"add":' in filesystem.cat_file(path)}


def unreferenced(store: S3Server, output: str, name: str) -> list[str]:
    """Paths of the Parquet files of a table that are not in its snapshot."""
    delta = DeltaTable(f"{output}/{name}", storage_options=options(store))
    referred = {uri.rpartition("/")[2] for uri in delta.file_uris()}
    found = store.filesystem().find(f"{output}/{name}")
    data = (path for path in found if path.endswith(".parquet") and "/_delta_log/" not in path)
    return [path for path in data if path.rpartition("/")[2] not in referred]
