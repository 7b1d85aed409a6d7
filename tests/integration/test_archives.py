"""An archive that several Ray tasks read, one of which dies."""

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
from tests.support.hostile.making import TEXT, article, line, tar
from tests.support.outputs import assert_consistent, document_rows, entity_rows

pytestmark = pytest.mark.integration

FILES = 400
TWICE = "again.jsonl"
"""A file with the id of a document in an earlier file, which another task reads."""


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
def test_two_readers_write_the_tables_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert ArchivePart(0, 2).has_file(TWICE) != ArchivePart(0, 2).has_file("records.jsonl")
    articles = [(f"{number}.nxml", article(f"<p>{TEXT} In {number} mice.</p>" * 30)) for number in range(FILES)]
    records = ("records.jsonl", b"".join(line(f"record{number}") for number in range(50)) + b"{broken\n")
    archive, marker = tmp_path / "articles.tar.gz", tmp_path / "died"
    content = tar(*articles, records, (TWICE, line("record3", text="Yeast grows.")))
    archive.write_bytes(gzip.compress(content, 0, mtime=0))  # small files are read with others, in one task
    monkeypatch.setattr(plan, "MIN_PART_BYTES", 1)
    with ray_whose_workers(reader_dies_once(marker)):
        monkeypatch.setattr(plan, "MAX_PARTS", 1)
        one = craft_ray.annotate(archive, tmp_path / "one", model="stand-in")
        assert not marker.exists()
        monkeypatch.setattr(plan, "MAX_PARTS", 2)
        two = craft_ray.annotate(archive, tmp_path / "two", model="stand-in")
    assert marker.exists()
    assert two["documents"] == one["documents"]
    assert two["documents"] | {"annotated": FILES + 50, "rejected": 2, "unchanged": 0} == two["documents"]
    assert two["adds_up"]
    assert assert_consistent(tmp_path / "two") == assert_consistent(tmp_path / "one")
    assert document_rows(tmp_path / "two") == document_rows(tmp_path / "one")
    assert entity_rows(tmp_path / "two") == entity_rows(tmp_path / "one")
