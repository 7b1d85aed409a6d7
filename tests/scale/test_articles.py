"""A generated archive is what it stands for: one stream of gzip, an article per file."""

import zlib
from pathlib import Path

import pytest

from craft_ray.core.schema import Document
from craft_ray.readers import read_shard
from tests.scale import articles


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, int]:
    """Five articles or more of two bodies."""
    monkeypatch.setattr(articles, "BODIES", 2)
    path = tmp_path / "articles.tar.gz"
    return path, articles.write_archive(path, 75_000)


def test_each_article_is_read_with_a_number_and_a_full_text_of_its_own(archive: tuple[Path, int]):
    path, number = archive
    with path.open("rb") as stream:
        items = list(read_shard(stream, path.name))
    assert [item.doc_id for item in items] == [f"PMCID:PMC{place}" for place in range(number)]
    assert number >= 5
    assert all(isinstance(item, Document) and len(item.text) > 20_000 for item in items)
    assert len({item.text for item in items if isinstance(item, Document)}) == 2


def test_it_is_one_stream_with_nothing_behind_it(archive: tuple[Path, int]):
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    content = stream.decompress(archive[0].read_bytes())
    assert stream.eof
    assert not stream.unused_data
    assert len(content) % 512 == 0
