"""The content of `documents`, as a run finds it."""

from pathlib import Path

import pyarrow as pa

from craft_ray.core.schema import SHARDS
from craft_ray.storage.shards import Shard, Shards
from craft_ray.tables import identity
from craft_ray.tables.known import read_known
from craft_ray.tables.ledger import Outcome
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, write_tables


def to_read(*names: str) -> Shards:
    return Shards.from_shards([Shard(name, 9) for name in names])


def test_what_is_known_is_what_was_committed(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"), shard=2), block(tmp_path, ("c", "fly"), shard=1)])
    gone = block(tmp_path, ("b", ""), status="deleted", shard=3)
    tables.replace([gone], [all_of(gone)])
    known = read_known(tables.documents, to_read("shard9", "shard2", "shard0"), SHARDS.empty_table())
    assert known.numbers.tolist() == [5, 3, 1]
    held, found = known.ledger.lookup(identity.id_hashes("abcd"))
    assert found.tolist() == [True, True, True, False]
    assert held["deleted"].tolist() == [False, True, False, False]
    assert identity.shard_numbers(held["revision"])[:3].tolist() == [3, 4, 2]
    assert held["key"][0] == identity.key("a", "mouse", "")


def test_rejected_rows_that_are_named_by_their_place_are_known_by_the_shards_that_are_read(tmp_path: Path):
    rejected = {"status": "rejected", "version": 0, "key": 1}
    rows = [{"doc_id": doc_id, "shard": shard} | rejected for doc_id, shard in [("in/a#3", "in/a"), ("in/b#1", "in/b")]]
    write_tables(tmp_path, [*rows, {"doc_id": "PMID:1", "shard": "in/a"} | rejected], [])
    known = read_known(Tables(STORAGE, str(tmp_path)).documents, to_read("in/a"), SHARDS.empty_table())
    assert known.rejected == {"in/a": ["in/a#3"]}


def test_a_row_that_has_come_from_another_file_is_not_of_the_shard_that_its_id_begins_like(tmp_path: Path):
    rejected = {"status": "rejected", "version": 0, "key": 1, "doc_id": "in/a#3", "shard": "in/b"}
    write_tables(tmp_path, [rejected], [])
    assert read_known(Tables(STORAGE, str(tmp_path)).documents, to_read("in/a"), SHARDS.empty_table()).rejected == {}


def test_documents_that_a_later_shard_gave_once_more_are_known_as_its_own(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"), ("c", "fly"), shard=1)])
    shards = {"z/shard2": ["a"], "a/shard3": ["a", "b"], "shard4": []}  # their order is that of the files' own names
    finished = [
        {"shard": name, "duplicates": identity.id_hashes(ids).tolist(), "run_id": "run"} for name, ids in shards.items()
    ]
    known = read_known(tables.documents, to_read("shard1", *shards), pa.Table.from_pylist(finished, schema=SHARDS))
    assert known.numbers.tolist() == [1, 2, 3, 4]
    first, _, last, _ = known.numbers
    held, _ = known.ledger.lookup(identity.id_hashes("abc"))
    assert identity.shard_numbers(held["revision"]).tolist() == [last, last, first]
    assert held["duplicate"].tolist() == [True, True, False]
    alone = pa.Table.from_pylist(finished[:1], schema=SHARDS)
    assert read_known(tables.documents, to_read(), alone).ledger.held(identity.id_hash("a"))["duplicate"]


def test_documents_of_files_that_are_gone_give_way_to_whatever_others_have(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), shard=2), block(tmp_path, ("b", "rat"), shard=1)])
    duplicates = {"shard": "shard3", "duplicates": identity.id_hashes(["b"]).tolist(), "run_id": "run"}
    finished = pa.Table.from_pylist([duplicates], schema=SHARDS)
    outcomes = {}
    for gone in ((), ("shard2", "shard3")):
        known = read_known(tables.documents, to_read("shard0", "shard2a"), finished, gone)
        older, later = (identity.revision(1, number, False) for number in known.numbers.tolist())
        found = (("a", older), ("b", later))
        outcomes[gone] = [known.ledger.outcome(identity.id_hash(doc_id), 0, revision) for doc_id, revision in found]
    assert outcomes[()] == [Outcome.SUPERSEDED, Outcome.SUPERSEDED]
    assert outcomes["shard2", "shard3"] == [Outcome.REVISED, Outcome.REVISED]
