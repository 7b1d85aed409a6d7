"""An archive that several Ray tasks read, some of which die."""

import gzip
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import craft_ray
from craft_ray.annotation import plan
from craft_ray.readers.archives import ArchivePart
from tests.integration.test_failures import ray_whose_workers
from tests.support.hostile.making import TEXT, article, line, member, tar
from tests.support.outputs import assert_consistent, document_rows, entity_rows

pytestmark = pytest.mark.integration

FILES = 400
TWICE = "again.jsonl"
"""A file with the id of a document in an earlier file, which another task reads."""


def write_archive(folder: Path, twice: bool = False) -> Path:
    """Write articles, records, a broken file and a link."""
    articles = [
        (f"{number}.nxml", article(f"<p>{TEXT} Article {number} of a mouse.</p>" * 30)) for number in range(FILES)
    ]
    records = ("records.jsonl", b"".join(line(f"record{number}") for number in range(50)) + b"{broken\n")
    again = [(TWICE, line("record3", text="Yeast grows."))] if twice else []
    content = tar(*articles, records, ("half.nxml", b"<article><p>"), *again, member("c.txt", b"2", "a.txt"))
    folder.mkdir()
    path = folder / "articles.tar.gz"
    path.write_bytes(gzip.compress(content, 0, mtime=0))  # small files are read with others, in one task
    return path


def assert_same_tables(one: Path, other: Path) -> None:
    assert assert_consistent(one) == assert_consistent(other)
    assert document_rows(one) == document_rows(other)
    assert entity_rows(one) == entity_rows(other)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that sets how many tasks read an archive, however small."""
    monkeypatch.setattr(plan, "MIN_PART_BYTES", 1)
    return lambda parts: monkeypatch.setattr(plan, "MAX_PARTS", parts)


def reader_dies_once(marker: Path) -> Callable[[], None]:
    """Setup of workers, one of which is killed once while it reads the second part of an archive."""

    def setup() -> None:
        from craft_ray.annotation import prepare

        read_items = prepare.read_items

        def dying(stream, shard, options, part):
            for number, item in enumerate(read_items(stream, shard, options, part)):
                if part.number == 1 and number == FILES // 4 and not marker.exists():
                    marker.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                yield item

        prepare.read_items = dying

    return setup


@pytest.mark.long
@pytest.mark.parametrize("twice", [False, True])
def test_two_readers_write_the_tables_of_one(twice: bool, tmp_path: Path, in_parts: Callable[[int], None]):
    """One of the two is killed on the way."""
    assert ArchivePart(0, 2).has_file(TWICE) != ArchivePart(0, 2).has_file("records.jsonl")
    archive = str(write_archive(tmp_path / "in", twice))
    marker = tmp_path / "died"
    with ray_whose_workers(reader_dies_once(marker)):
        in_parts(1)
        one = craft_ray.annotate(archive, str(tmp_path / "one"), model="stand-in")
        assert not marker.exists()
        in_parts(2)
        two = craft_ray.annotate(archive, str(tmp_path / "two"), model="stand-in")
    assert marker.exists()
    assert two["documents"] == one["documents"]
    assert two["documents"] | {"annotated": FILES + 50, "rejected": 3 + twice, "unchanged": 0} == two["documents"]
    assert two["adds_up"]
    assert_same_tables(tmp_path / "two", tmp_path / "one")
