"""Writing files whole or not at all, on disk and on a real S3 server."""

import errno
import tempfile
from pathlib import Path

import pytest

from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from tests.support.s3_server import BUCKET, S3Server

LOCAL = Storage(S3Settings())


def test_writing_leaves_no_half_file(tmp_path: Path):
    LOCAL.write_bytes(f"{tmp_path}/deep/er/x.json", b"{}")
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["x.json"]


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_a_file_is_created_once_and_its_creator_may_ask_again(place, on_s3: str, tmp_path: Path):
    """Who hears no answer asks again, and must learn that it was the one."""
    file = f"{tmp_path if place == 'disk' else on_s3}/x.json"
    assert LOCAL.create(file, b"mine")
    assert not LOCAL.create(file, b"yours")
    assert LOCAL.read_bytes(file) == b"mine"
    if place == "s3":
        assert LOCAL.create(file, b"mine")


def test_a_file_is_created_once_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def unsupported(*arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", unsupported)
    assert LOCAL.create(f"{tmp_path}/x", b"mine")
    assert not LOCAL.create(f"{tmp_path}/x", b"yours")
    assert (tmp_path / "x").read_bytes() == b"mine"


def test_a_full_disk_is_left_without_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        LOCAL.write_bytes(f"{tmp_path}/x", b"content")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("remote", [False, True])
def test_a_file_is_published_whole_or_not_at_all(s3_server: S3Server, monkeypatch, tmp_path: Path, remote: bool):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = f"s3://{BUCKET}/publishing" if remote else f"{tmp_path}/folder"
    storage = Storage(S3Settings())
    with storage.publishing(f"{folder}/whole") as file:
        file.write(b"first, ")
        file.write(b"second")
        assert f"{folder}/whole" not in storage.names(folder)

    def break_off() -> None:
        with storage.publishing(f"{folder}/broken") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert [name.rpartition("/")[2] for name in storage.names(folder)] == ["whole"]
    assert storage.read_bytes(f"{folder}/whole") == b"first, second"
    assert [path.name for path in tmp_path.iterdir()] == ([] if remote else ["folder"])


@pytest.mark.parametrize("place", ["disk", "s3"])
@pytest.mark.parametrize("name", ["x", "[x]*"])
def test_files_are_removed_by_their_names_and_no_others(place: str, name: str, on_s3: str, tmp_path: Path):
    """Letters of a pattern in a name stand for themselves, and a file that is gone already is no failure."""
    folder = f"{tmp_path if place == 'disk' else on_s3}/table"
    for file in (name, f"{name}y", "xx", "z"):
        LOCAL.write_bytes(f"{folder}/{file}", b"rows")
    LOCAL.remove_files([])
    LOCAL.remove_files([f"{folder}/{file}" for file in (name, "z", "gone")])
    assert sorted(path.rpartition("/")[2] for path in Storage(S3Settings()).names(folder)) == sorted([f"{name}y", "xx"])
