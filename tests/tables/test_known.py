"""The content of `documents`, as a run finds it."""

from pathlib import Path

from craft_ray.core.schema import SHARDS
from craft_ray.tables import identity
from craft_ray.tables.known import read_known
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, write_tables


def test_what_is_known_is_what_was_committed(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"), shard=2), block(tmp_path, ("c", "fly"), shard=1)])
    gone = block(tmp_path, ("b", ""), status="deleted", shard=3)
    tables.replace([gone], [all_of(gone)])
    known = read_known(tables.documents, {"shard9": "shard9"}, SHARDS.empty_table())
    assert known.number == {"shard1": 1, "shard2": 2, "shard3": 3, "shard9": 4}
    held, found = known.ledger.lookup(identity.id_hashes("abcd"))
    assert found.tolist() == [True, True, True, False]
    assert held["deleted"].tolist() == [False, True, False, False]
    assert identity.shard_numbers(held["revision"])[:3].tolist() == [2, 3, 1]
    assert held["key"][0] == identity.key("a", "mouse", "")


def test_rejected_rows_that_are_named_by_their_place_are_known_by_the_shards_that_are_read(tmp_path: Path):
    rejected = {"status": "rejected", "version": 0, "key": 1}
    rows = [{"doc_id": doc_id, "shard": shard} | rejected for doc_id, shard in [("in/a#3", "in/a"), ("in/b#1", "in/b")]]
    write_tables(tmp_path, [*rows, {"doc_id": "PMID:1", "shard": "in/a"} | rejected], [])
    known = read_known(Tables(STORAGE, str(tmp_path)).documents, {"in/a": "in/a"}, SHARDS.empty_table())
    assert known.rejected == {"in/a": ["in/a#3"]}
