"""Files below a folder, compared with those that fsspec finds."""

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.readers import is_shard_name
from craft_ray.storage.addresses import Entry
from craft_ray.storage.listing import list_shards
from craft_ray.storage.storage import Storage
from tests.support.moto_server import running_moto
from tests.support.s3_server import S3Access, S3Server

LOCAL = Storage(S3Settings())
PAGE = 1_000
"""Objects per listing request of S3."""


def found_by_fsspec(filesystem: AbstractFileSystem, folder: str) -> list[tuple[str, int, str]]:
    details = filesystem.find(folder, detail=True).values()
    tags = (detail.get("ETag") or detail.get("mtime") or "" for detail in details)
    return [(detail["name"], detail["size"], str(tag).strip('"')) for detail, tag in zip(details, tags, strict=True)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for name in ("b/notes.txt", "b/deep/er/empty.txt", ".hidden/a.txt", "a.txt", "old.txt"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("x" * len(name))
    (folder / "nothing").mkdir()
    return folder


def below(folder: Path, skip: Path | None = None) -> dict[str, Entry]:
    found = LOCAL.files_below(str(folder), skip and str(skip))
    return {entry.name.removeprefix(f"{folder}/"): entry for entry in found}


def test_local_files(folder: Path):
    os.utime(folder / "old.txt", (0, 0))  # no usable time
    found = below(folder)
    assert sorted(entry[:3] for entry in found.values()) == found_by_fsspec(LocalFileSystem(), str(folder))
    assert found["old.txt"].tag == ""


def test_links_are_followed(folder: Path, caplog: pytest.LogCaptureFixture):
    (folder.parent / "elsewhere" / "2026").mkdir(parents=True)
    (folder.parent / "elsewhere" / "2026" / "n.txt").write_text("A mouse.")
    for link, target in (("link.txt", "a.txt"), ("far", "../elsewhere"), ("broken.txt", "nowhere"), ("round", ".")):
        (folder / link).symlink_to(target)
    found = below(folder)
    assert {*found} == {
        *("b/notes.txt", "b/deep/er/empty.txt", ".hidden/a.txt", "a.txt", "old.txt"),
        *("link.txt", "broken.txt", "far/2026/n.txt"),
    }
    assert found["broken.txt"].size == 0
    assert f"{folder}/round is a link that leads back" in caplog.text


def test_a_link_changes_with_its_target(folder: Path):
    """The time of the link itself stays when its target is written again."""
    (folder / "link.txt").symlink_to("a.txt")
    before = below(folder)["link.txt"]
    os.utime(folder / "a.txt", (7, 7))
    after = below(folder)["link.txt"]
    assert before.size == after.size == 5
    assert before.tag != after.tag == "7.0"
    assert LOCAL.entry(str(folder / "link.txt")) == after


def test_pipes_are_no_files(folder: Path):
    os.mkfifo(folder / "pipe.txt")
    assert not below(folder)["pipe.txt"].is_file
    assert list_shards(LOCAL, [str(folder)], is_shard_name).ignored_files.to_pylist() == [
        f"{folder}/.hidden/a.txt",
        f"{folder}/pipe.txt",
    ]
    with pytest.raises(SettingsError, match="is no regular file"):
        list_shards(LOCAL, [f"{folder}/pipe.txt"], is_shard_name)


@pytest.mark.parametrize("pattern", ["", "/*", "/**/*.txt"])
def test_an_output_behind_a_link_is_left_out(folder: Path, pattern: str):
    output = folder / "out"
    output.mkdir()
    (output / "x.txt").write_text("x")
    (folder.parent / "tables").symlink_to(output)
    listing = list_shards(LOCAL, [f"{folder}{pattern}"], is_shard_name, str(folder.parent / "tables"))
    assert {"a.txt", "old.txt"} <= {Path(shard.name).name for shard in listing.shards()}
    assert "x.txt" not in {Path(shard.name).name for shard in listing.shards()}


def test_objects_are_listed_in_pages(s3_server: S3Server, on_s3: str, monkeypatch: pytest.MonkeyPatch):
    names = [f"{folder}/{number:04} é%+.txt" for number in range(PAGE // 2 + 1) for folder in ("a", "b/c")]
    client = s3_server.filesystem()
    client.pipe({f"{on_s3}/{name}": name.encode() * (number % 3) for number, name in enumerate(names)})
    client.pipe_file(f"{on_s3}-beside/x.txt", b"x")
    at_once = found_by_fsspec(client, on_s3)
    pages = []
    call = S3FileSystem.call_s3

    def failing_once(self, method: str, *arguments, **more):
        pages.append(method)
        if len(pages) == 2:
            raise TimeoutError
        return call(self, method, *arguments, **more)

    monkeypatch.setattr(S3FileSystem, "call_s3", failing_once)
    storage = Storage(S3Settings(), patience=60)
    below = storage.files_below(on_s3)
    found = list(islice(below, PAGE))
    assert pages == ["list_objects_v2"]
    found += below
    assert pages == ["list_objects_v2"] * 3
    assert sorted(found) == sorted(Entry(f"s3://{name}", size, tag) for name, size, tag in at_once)
    assert sorted(entry.name for entry in found) == sorted(f"{on_s3}/{name}" for name in names)
    assert not storage.filesystem(on_s3).dircache


def test_folder_markers_are_no_files(fresh_prefix_on: Callable[[S3Access], str]):
    """Consoles of S3 make empty objects whose keys end with a slash."""
    with running_moto() as server:
        folder = fresh_prefix_on(server)
        storage = Storage(S3Settings())
        bucket, _, key = folder.partition("://")[2].partition("/")
        storage.filesystem(folder).call_s3("put_object", Bucket=bucket, Key=f"{key}/empty/", Body=b"")
        storage.write_bytes(f"{folder}/empty/a.txt", b"a mouse")
        listed = storage.filesystem(folder).call_s3("list_objects_v2", Bucket=bucket, Prefix=key)
        assert [one["Key"] for one in listed["Contents"]] == [f"{key}/empty/", f"{key}/empty/a.txt"]
        assert [entry.name for entry in storage.files_below(folder)] == [f"{folder}/empty/a.txt"]
        assert [entry.name for entry in storage.entries(f"{folder}/empty")] == [f"{folder}/empty/a.txt"]
