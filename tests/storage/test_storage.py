"""Atomic writes and deletions, on disk and on a real S3 server."""

import errno
import tempfile
from pathlib import Path

import pytest

from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage

LOCAL = Storage(S3Settings())


def test_writing_leaves_no_temporary_file(tmp_path: Path):
    LOCAL.write_bytes(f"{tmp_path}/deep/er/x.json", b"{}")
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["x.json"]


@pytest.mark.parametrize("links", [True, False])
def test_create(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def unsupported(*arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", unsupported)
    assert LOCAL.create(f"{tmp_path}/x", b"mine")
    assert not LOCAL.create(f"{tmp_path}/x", b"yours")
    assert (tmp_path / "x").read_bytes() == b"mine"


def test_a_full_disk_keeps_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        LOCAL.write_bytes(f"{tmp_path}/x", b"content")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("remote", [False, True])
def test_publishing(on_s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, remote: bool):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = on_s3 if remote else f"{tmp_path}/folder"
    with LOCAL.publishing(f"{folder}/whole") as file:
        file.write(b"first, ")
        file.write(b"second")
        assert f"{folder}/whole" not in LOCAL.names(folder)

    def fail() -> None:
        with LOCAL.publishing(f"{folder}/broken") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [name.rpartition("/")[2] for name in LOCAL.names(folder)] == ["whole"]
    assert LOCAL.read_bytes(f"{folder}/whole") == b"first, second"
    assert [path.name for path in tmp_path.iterdir()] == ([] if remote else ["folder"])


@pytest.mark.parametrize("place", ["disk", "s3"])
@pytest.mark.parametrize("name", ["x", "[x]*"])
def test_remove_files(place: str, name: str, on_s3: str, tmp_path: Path):
    """Wildcards in a name are ordinary characters, and missing files are ignored."""
    folder = f"{tmp_path if place == 'disk' else on_s3}/table"
    for file in (name, f"{name}y", "xx", "z"):
        LOCAL.write_bytes(f"{folder}/{file}", b"rows")
    LOCAL.remove_files([])
    LOCAL.remove_files([f"{folder}/{file}" for file in (name, "z", "gone")])
    assert sorted(path.rpartition("/")[2] for path in Storage(S3Settings()).names(folder)) == sorted([f"{name}y", "xx"])
