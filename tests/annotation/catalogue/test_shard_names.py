"""Documents without an id are named by the path from their input on: a folder that has moved is the same corpus."""

from dataclasses import replace

import pyarrow as pa

from craft_ray.annotation.catalogue.shard_names import name_shards
from craft_ray.core.schema import SHARDS
from craft_ray.storage.shards import Shard, Shards

NOTES = Shard("/a/in/notes.txt", 10, "1", path="in/notes.txt")
MOVED = replace(NOTES, name="/b/in/notes.txt")
CHANGED = replace(MOVED, size=11, tag="2")


def finished(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist([{"size": 10, "tag": "1", "run_id": "1"} | row for row in rows], schema=SHARDS)


READ = {"shard": NOTES.name, "named": NOTES.path}


def names(shards: list[Shard], held: pa.Table, *there: str) -> list[str]:
    listed = {shard.name for shard in shards}
    return name_shards(Shards.from_shards(shards), listed, held, lambda url: url in there).to_pylist()


def test_a_new_shard_is_named_by_its_path():
    assert names([NOTES], finished()) == ["in/notes.txt"]


def test_a_shard_keeps_its_name_in_another_input():
    below = replace(NOTES, path="notes.txt")
    assert names([below], finished(READ)) == ["in/notes.txt"]


def test_a_moved_shard_keeps_its_name():
    assert names([MOVED], finished(READ)) == ["in/notes.txt"]
    assert names([CHANGED], finished(READ)) == ["in/notes.txt"]


def test_two_existing_shards_never_share_a_name():
    assert names([CHANGED], finished(READ), NOTES.name) == [MOVED.name]
    assert names([NOTES, MOVED], finished()) == ["in/notes.txt", MOVED.name]
    assert names([CHANGED, NOTES], finished(READ), NOTES.name) == [MOVED.name, "in/notes.txt"]
    listed_and_known = {MOVED.name, NOTES.name}
    named = name_shards(Shards.from_shards([MOVED]), listed_and_known, finished(READ), lambda url: True)
    assert named.to_pylist() == [MOVED.name]


def test_a_moved_shard_that_comes_back():
    held = finished(READ, {"shard": MOVED.name, "named": NOTES.path, "run_id": "2"})
    assert names([replace(NOTES, tag="3"), replace(CHANGED, tag="4")], held, NOTES.name, MOVED.name) == [
        NOTES.name,
        "in/notes.txt",
    ]


def test_a_name_that_another_shard_has_taken():
    other = {"shard": "/c/in/notes.txt", "named": "in/notes.txt", "run_id": "2"}
    below = replace(NOTES, path="notes.txt")
    assert names([below], finished(READ, other), other["shard"]) == ["notes.txt"]
    assert names([below], finished(READ, other | {"run_id": "0"}), other["shard"]) == ["in/notes.txt"]
