"""Lists of files."""

import io
from pathlib import Path

import pyarrow as pa
import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.file_list import read_file_list
from craft_ray.storage.listing import list_shards
from craft_ray.storage.shards import FILES, Listing, files_table
from craft_ray.storage.storage import Storage

STORAGE = Storage(S3Settings())

LONG = b"a" * 100_000 + b"\n"
"""A line of which twenty are not read at once."""


def named(files: pa.Table) -> list[tuple[str, int, str]]:
    return [(shard.name, shard.size, shard.tag) for shard in Listing(files).shards()]


def test_sizes_and_tags(tmp_path: Path):
    (tmp_path / "list.tsv").write_text('# made by hand\na.xml\t12\t"etag"\n\ns3://bucket/b.xml.gz\n/c.xml\t3\n')
    files = read_file_list(STORAGE, str(tmp_path / "list.tsv"))
    assert files.schema == FILES
    assert named(files) == [(f"{tmp_path}/a.xml", 12, "etag"), ("s3://bucket/b.xml.gz", 0, ""), ("/c.xml", 3, "")]


def test_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a.xml\t1\n")))
    assert named(read_file_list(STORAGE, "-")) == [(f"{tmp_path}/a.xml", 1, "")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a.xml\tlarge\n", "line 1 of the list"),
        (b"a.xml\n\n# sizes\nb.xml\t-1\n", "line 4 of the list"),
        (b"a.xml\t9999999999999999999\n", "line 1 of the list"),
        (LONG * 20 + b"b.xml\tlarge\n", "line 21 of the list"),
        (b"a.xml\t1\tx\ty\n", "line 1 of the list"),
        (b"# nothing\n", "names no files"),
        (b"\xff\n", "is not UTF-8"),
    ],
)
def test_malformed_list(tmp_path: Path, content: bytes, sentence: str):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(SettingsError, match=sentence):
        read_file_list(STORAGE, str(tmp_path / "list"))
    with pytest.raises(SettingsError, match="the list"):
        read_file_list(STORAGE, str(tmp_path / "none"))


def test_an_incomplete_list(tmp_path: Path):
    for content in (b"", b"a.xml", LONG * 20 + b"b.xml\t1"):
        (tmp_path / "list").write_bytes(content)
        with pytest.raises(SettingsError, match="does not end with a line break"):
            read_file_list(STORAGE, str(tmp_path / "list"), complete=True)
    (tmp_path / "list").write_bytes(b"a.xml\r\nb.xml\r\n")
    assert [name for name, *_ in named(read_file_list(STORAGE, str(tmp_path / "list"), complete=True))] == [
        f"{tmp_path}/a.xml",
        f"{tmp_path}/b.xml",
    ]
    with pytest.raises(SettingsError, match="standard input"):
        read_file_list(STORAGE, "-", complete=True)


def test_listed_files_are_unique_and_not_looked_up(tmp_path: Path):
    (tmp_path / "b.xml").write_text("<x/>")
    (tmp_path / "list").write_text("s3://no-such-bucket/a.xml\t5\ttag\nb.xml\t9\told\nb.xml\t4\n")
    listed = read_file_list(STORAGE, str(tmp_path / "list"))
    wanted = [("s3://no-such-bucket/a.xml", 5, "tag"), (f"{tmp_path}/b.xml", 4, "")]
    both = list_shards(STORAGE, [f"{tmp_path}/b.xml"], lambda name: True, listed=listed)
    alone = list_shards(STORAGE, [], lambda name: True, listed=listed)
    assert named(both.files) == named(alone.files) == wanted
    assert [shard.path for shard in alone.shards()] == ["no-such-bucket/a.xml", f"{tmp_path.name}/b.xml"]


def test_the_longest_path_counts(tmp_path: Path):
    (tmp_path / "in" / "below").mkdir(parents=True)
    (tmp_path / "in" / "below" / "a.xml").write_text("<x/>")
    listed = files_table([(f"{tmp_path}/in/below/a.xml", 99, "tag", len(f"{tmp_path}/in/"), "")])
    (shard,) = list_shards(STORAGE, [f"{tmp_path}/in"], lambda name: True, listed=listed).shards()
    assert (shard.path, shard.size) == ("in/below/a.xml", 4)
