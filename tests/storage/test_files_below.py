"""Files below a folder, compared with those that fsspec finds."""

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem

from craft_ray.core.settings import S3Settings
from craft_ray.storage.addresses import Entry
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


def test_local_files_and_links(tmp_path: Path):
    for name in ("b/notes.txt", "b/deep/er/empty.txt", ".hidden/a.txt", "a.txt", "old.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x" * len(name))
    os.utime(tmp_path / "old.txt", (0, 0))  # no usable time
    (tmp_path / "nothing").mkdir()
    for link, target in (("link.txt", "a.txt"), ("folder.txt", "b"), ("broken.txt", "nowhere"), ("round", ".")):
        (tmp_path / link).symlink_to(target)
    os.mkfifo(tmp_path / "pipe.txt")
    found = sorted(entry[:3] for entry in LOCAL.files_below(str(tmp_path)))
    assert found == found_by_fsspec(LocalFileSystem(), str(tmp_path))
    assert {Path(name).name: size for name, size, _ in found}["link.txt"] == 5
    assert {Path(name).name: tag for name, _, tag in found}["old.txt"] == ""


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
