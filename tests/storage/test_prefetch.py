"""Small files of object storage, fetched by one request each and ahead of their turn, on a real S3 server."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from craft_ray.core.settings import S3Settings
from craft_ray.storage.listing import list_shards
from craft_ray.storage.prefetch import AHEAD, prefetch
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage

FILES = 12


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the requests that are sent from here on."""
    sent: list[str] = []
    call = S3FileSystem._call_s3

    async def counted(self, method: str, *arguments, **more):
        sent.append(method)
        return await call(self, method, *arguments, **more)

    monkeypatch.setattr(S3FileSystem, "_call_s3", counted)
    return sent


def listed(storage: Storage, folder: str) -> list[Shard]:
    for number in range(FILES):
        storage.write_bytes(f"{folder}/{number:02}.txt", b"mouse %d" % number)
    return list_shards(storage, [folder], lambda name: True).shards()


def test_a_file_whose_size_is_known_costs_one_request(on_s3: str, requests: list[str]):
    shards = listed(Storage(S3Settings()), on_s3)
    requests.clear()
    storage = Storage(S3Settings())  # a worker's, which has listed nothing
    read = [opened().read() for _, opened in prefetch(storage, shards)]
    assert read == [b"mouse %d" % number for number in range(FILES)]
    assert requests == ["get_object"] * FILES


def test_the_next_files_are_fetched_while_one_is_read(on_s3: str):
    storage = Storage(S3Settings())
    shards = listed(storage, on_s3)
    fetched = [threading.Event() for _ in shards]

    class Watched(Storage):
        def open(self, url: str, size: int = 0):
            stream = storage.open(url, size)
            fetched[int(url[-6:-4])].set()
            return stream

    for number, (_, opened) in enumerate(prefetch(Watched(S3Settings()), shards)):
        opened()
        assert all(event.wait(30) for event in fetched[: number + 1 + AHEAD])
        assert not any(event.is_set() for event in fetched[number + 1 + AHEAD :])


def test_a_file_that_cannot_be_fetched_costs_itself_alone(on_s3: str):
    storage = Storage(S3Settings())
    shards = listed(storage, on_s3)
    storage.remove(shards[3].name)
    read = []
    for shard, opened in prefetch(storage, shards):
        try:
            read.append(opened().read())
        except FileNotFoundError:
            read.append(shard.name.encode())
    assert read == [b"mouse %d" % n if n != 3 else shards[3].name.encode() for n in range(FILES)]


def test_files_on_disk_are_opened_in_their_turn(tmp_path: Path):
    shards = []
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("mouse")
        shards.append(Shard(f"{tmp_path}/{number}.txt", 5))
    given = prefetch(Storage(S3Settings()), shards)
    _, first = next(given)
    (tmp_path / "2.txt").write_text("rat")
    assert [first().read(), *(opened().read() for _, opened in given)] == [b"mouse", b"mouse", b"rat"]
