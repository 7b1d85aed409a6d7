"""Files that a list names."""

import io
from pathlib import Path

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.lists import read_list
from craft_ray.storage.shards import Shard, list_shards
from craft_ray.storage.storage import Storage

STORAGE = Storage(S3Settings())


def test_a_list_names_files_with_their_sizes_and_tags(tmp_path: Path):
    (tmp_path / "list.tsv").write_text('# made by hand\na.xml\t12\t"etag"\n\ns3://bucket/b.xml.gz\n/c.xml\t3\n')
    assert read_list(STORAGE, str(tmp_path / "list.tsv")) == [
        Shard(f"{tmp_path}/a.xml", 12, "etag"),
        Shard("s3://bucket/b.xml.gz", 0),
        Shard("/c.xml", 3),
    ]


def test_a_list_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a.xml\t1\n")))
    assert read_list(STORAGE, "-") == [Shard(f"{tmp_path}/a.xml", 1)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a.xml\tlarge\n", "line 1 of the list"),
        (b"a.xml\t1\tx\ty\n", "line 1 of the list"),
        (b"# nothing\n", "names no files"),
        (b"\xff\n", "is not UTF-8"),
    ],
)
def test_a_list_of_another_form_is_a_bad_setting(tmp_path: Path, content: bytes, sentence: str):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(SettingsError, match=sentence):
        read_list(STORAGE, str(tmp_path / "list"))
    with pytest.raises(SettingsError, match="the list"):
        read_list(STORAGE, str(tmp_path / "none"))


def test_what_a_list_names_is_not_looked_up_and_comes_once(tmp_path: Path):
    (tmp_path / "b.xml").write_text("<x/>")
    listed = [Shard("s3://no-such-bucket/a.xml", 5, "tag"), Shard(f"{tmp_path}/b.xml", 4)]
    found = list_shards(STORAGE, [str(tmp_path)], lambda name: True, listed=listed)
    assert [shard.name for shard in found.shards] == ["s3://no-such-bucket/a.xml", f"{tmp_path}/b.xml"]
    found = list_shards(STORAGE, [], lambda name: True, listed=listed)
    assert [(shard.name, shard.size, shard.tag) for shard in found.shards] == [
        (shard.name, shard.size, shard.tag) for shard in listed
    ]
    assert found.shards[0].path == "no-such-bucket/a.xml"
