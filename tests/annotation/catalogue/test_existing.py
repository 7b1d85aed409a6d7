"""The content of `documents`, as a run finds it."""

from pathlib import Path

import pyarrow as pa

from craft_ray.annotation.catalogue.existing import read_existing
from craft_ray.core.schema import SHARDS
from craft_ray.storage.shards import Shard, Shards
from craft_ray.tables import identity
from craft_ray.tables.ledger import Outcome, entries
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, write_tables


def to_read(*names: str) -> Shards:
    return Shards.from_shards([Shard(name, 9) for name in names])


def test_existing_is_what_was_committed(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"), shard=2), block(tmp_path, ("c", "fly"), shard=1)])
    gone = block(tmp_path, ("b", ""), status="deleted", shard=3)
    tables.replace([gone], [all_of(gone)])
    known = read_existing(tables, to_read("shard9", "shard2", "shard0"), SHARDS.empty_table())
    assert known.numbers.tolist() == [5, 3, 1]
    held, found = known.ledger.lookup(tables.ids.hashes("abcd"))
    assert found.tolist() == [True, True, True, False]
    assert held["deleted"].tolist() == [False, True, False, False]
    assert identity.shard_numbers(held["revision"])[:3].tolist() == [3, 4, 2]
    assert held["key"][0] == identity.key("a", "mouse", "")


def test_rejected_rows_named_by_position(tmp_path: Path):
    found = [("in/a#3", "in/a"), ("in/b#1", "in/b"), ("in/a#7", "in/b"), ("PMID:1", "in/a")]
    about = {"status": "rejected", "version": 0, "key": 1}
    write_tables(tmp_path, [about | {"doc_id": doc_id, "shard": shard} for doc_id, shard in found], [])
    tables = Tables(STORAGE, str(tmp_path))
    assert read_existing(tables, to_read("in/a"), SHARDS.empty_table()).rejected == {"in/a": ["in/a#3"]}


def test_duplicates_count_as_the_later_shards(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"), ("c", "fly"), shard=1)])
    shards = {"z/shard2": ["a"], "a/shard3": ["a", "b"], "shard4": []}  # their order is that of the files' own names
    finished = [
        {"shard": name, "duplicates": tables.ids.hashes(ids).tolist(), "run_id": "run"} for name, ids in shards.items()
    ]
    known = read_existing(tables, to_read("shard1", *shards), pa.Table.from_pylist(finished, schema=SHARDS))
    assert known.numbers.tolist() == [1, 2, 3, 4]
    first, _, last, _ = known.numbers
    held, _ = known.ledger.lookup(tables.ids.hashes("abc"))
    assert identity.shard_numbers(held["revision"]).tolist() == [last, last, first]
    assert held["duplicated"].tolist() == [True, True, False]
    alone = pa.Table.from_pylist(finished[:1], schema=SHARDS)
    assert read_existing(tables, to_read(), alone).ledger.lookup(tables.ids.hashes("a"))[0]["duplicated"][0]


def test_documents_of_vanished_files_give_way(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), shard=2), block(tmp_path, ("b", "rat"), shard=1)])
    duplicates = {"shard": "shard3", "duplicates": tables.ids.hashes(["b"]).tolist(), "run_id": "run"}
    finished = pa.Table.from_pylist([duplicates], schema=SHARDS)
    outcomes = {}
    for gone in ((), ("shard2", "shard3")):
        known = read_existing(tables, to_read("shard0", "shard2a"), finished, gone)
        older, later = (identity.revision(1, number, False) for number in known.numbers.tolist())
        arriving = entries(
            tables.ids.hashes("ab"), [identity.key(id, "", "") for id in "ab"], [older, later], [False, False]
        )
        outcomes[gone] = known.ledger.outcomes(arriving)[0].tolist()
    assert outcomes[()] == [Outcome.SUPERSEDED, Outcome.SUPERSEDED]
    assert outcomes["shard2", "shard3"] == [Outcome.REVISED, Outcome.REVISED]
