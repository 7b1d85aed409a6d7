"""Small files on S3: one request each, sent in advance."""

import threading
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from craft_ray.core.settings import S3Settings
from craft_ray.storage.listing import list_shards
from craft_ray.storage.prefetch import AHEAD, prefetch
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage

CONTENTS = [b"mouse %d" % number for number in range(12)]


def written(storage: Storage, folder: str) -> list[Shard]:
    for number, content in enumerate(CONTENTS):
        storage.write_bytes(f"{folder}/{number:02}.txt", content)
    return list_shards(storage, [folder], lambda name: True).shards()


def test_one_request_per_file(on_s3: str, monkeypatch: pytest.MonkeyPatch):
    shards = written(Storage(S3Settings()), on_s3)
    requests: list[str] = []
    call = S3FileSystem._call_s3

    async def counted(self, method: str, *arguments, **more):
        requests.append(method)
        return await call(self, method, *arguments, **more)

    monkeypatch.setattr(S3FileSystem, "_call_s3", counted)
    storage = Storage(S3Settings())  # of a worker, which has listed nothing
    assert [open_shard().read() for _, open_shard in prefetch(storage, shards)] == CONTENTS
    assert requests == ["get_object"] * len(CONTENTS)


def test_next_files_are_fetched_while_one_is_read(on_s3: str):
    storage = Storage(S3Settings())
    shards = written(storage, on_s3)
    fetched = [threading.Event() for _ in shards]

    class Watched(Storage):
        def open(self, url: str, size: int = 0):
            stream = storage.open(url, size)
            fetched[int(url[-6:-4])].set()
            return stream

    for number, (_, open_shard) in enumerate(prefetch(Watched(S3Settings()), shards)):
        open_shard()
        assert all(event.wait(30) for event in fetched[: number + 1 + AHEAD])
        assert not any(event.is_set() for event in fetched[number + 1 + AHEAD :])


def test_a_missing_file_fails_alone(on_s3: str):
    storage = Storage(S3Settings())
    shards = written(storage, on_s3)
    storage.remove(shards[3].name)
    read = []
    for _, open_shard in prefetch(storage, shards):
        try:
            read.append(open_shard().read())
        except FileNotFoundError:
            read.append(b"missing")
    assert read == [*CONTENTS[:3], b"missing", *CONTENTS[4:]]


def test_local_files_are_not_prefetched(tmp_path: Path):
    shards = [Shard(f"{tmp_path}/{number}.txt", 5) for number in range(3)]
    for shard in shards:
        Path(shard.name).write_text("mouse")
    opening = prefetch(Storage(S3Settings()), shards)
    _, open_first = next(opening)
    Path(shards[2].name).write_text("rat")
    assert [open_first().read(), *(open_shard().read() for _, open_shard in opening)] == [b"mouse", b"mouse", b"rat"]
