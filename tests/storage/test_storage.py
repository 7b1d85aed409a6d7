"""Finding shards and reaching files, on disk and on a real S3 server."""

import errno
import json
import os
import pickle
import secrets
import tempfile
from pathlib import Path

import pytest

from craft_ray.core.errors import SettingsError, StorageError
from craft_ray.core.settings import S3Settings
from craft_ray.readers import is_shard_name
from craft_ray.storage.shards import list_shards
from craft_ray.storage.storage import Storage
from tests.support.s3_server import BUCKET, S3Server

LOCAL = Storage(S3Settings())


def names(listing) -> list[str]:
    return [shard.name for shard in listing.shards]


def test_folders_files_and_globs_give_each_shard_once_in_order_of_base_name(tmp_path: Path):
    for name in ("b/pubmed2.xml.gz", "a/pubmed3.xml.gz", "c/pubmed1.xml.gz", "a/pubmed3.xml.gz.md5", "a/.hidden.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    listing = list_shards(LOCAL, [str(tmp_path), f"{tmp_path}/*/*.gz", f"{tmp_path}/a/pubmed3.xml.gz"], is_shard_name)
    assert [Path(name).name for name in names(listing)] == ["pubmed1.xml.gz", "pubmed2.xml.gz", "pubmed3.xml.gz"]
    assert listing.passed_over == [f"{tmp_path}/a/.hidden.txt", f"{tmp_path}/a/pubmed3.xml.gz.md5"]
    assert listing.shards[0].size == 1


def test_an_output_within_the_input_is_no_input(tmp_path: Path):
    for name in ("in.parquet", "out/documents/a.parquet", "out/documents/_delta_log/0.json", "_old/b.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x")
    listing = list_shards(LOCAL, [str(tmp_path)], is_shard_name, f"{tmp_path}/out")
    assert names(listing) == [f"{tmp_path}/in.parquet"]
    assert listing.passed_over == [f"{tmp_path}/_old/b.parquet"]


def test_a_file_whose_name_is_not_utf_8_is_passed_over_and_named(tmp_path: Path):
    (tmp_path / "good.txt").write_text("x")
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "wb"):
        pass
    listing = list_shards(LOCAL, [str(tmp_path)], is_shard_name)
    assert names(listing) == [f"{tmp_path}/good.txt"]
    assert listing.passed_over == [f"{tmp_path}/caf\\udce9.txt"]


def test_a_file_named_outright_is_input_whatever_its_name(tmp_path: Path):
    (tmp_path / "x.data").write_text("x")
    assert names(list_shards(LOCAL, [f"{tmp_path}/x.data"], is_shard_name)) == [f"{tmp_path}/x.data"]


@pytest.mark.parametrize("given", ["nowhere", "*.xml", "folder"])
def test_an_input_without_files_is_a_bad_setting(given, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError):
        list_shards(LOCAL, [f"{tmp_path}/{given}"], is_shard_name)


def test_a_storage_travels_without_its_connection(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    storage = Storage(S3Settings(endpoint_url=s3_server.endpoint))
    storage.write_bytes(f"s3://{BUCKET}/travel/x.txt", b"content")
    sent = pickle.dumps(storage)
    assert s3_server.secret.encode() not in sent
    with pickle.loads(sent).open(f"s3://{BUCKET}/travel/x.txt") as stream:
        assert stream.read() == b"content"


def test_an_s3_folder_is_listed_and_fetched(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    storage = Storage(S3Settings())
    prefix = s3_server.fresh_prefix()
    for name in ("a.txt", "b.xml.gz", "c.md5"):
        storage.write_bytes(f"{prefix}/{name}", name.encode())
    listing = list_shards(storage, [prefix], is_shard_name)
    assert names(listing) == [f"{prefix}/a.txt", f"{prefix}/b.xml.gz"]
    assert listing.passed_over == [f"{prefix}/c.md5"]
    assert (storage.fetch(prefix) / "a.txt").read_text() == "a.txt"


def test_a_public_bucket_is_read_without_credentials_and_others_with_them(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
):
    filesystem, bucket = s3_server.filesystem(), f"public-{secrets.token_hex(4)}"
    filesystem.call_s3("create_bucket", Bucket=bucket)
    filesystem.pipe_file(f"s3://{bucket}/articles/a.xml", b"<article/>")
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": resources,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    filesystem.call_s3("put_bucket_policy", Bucket=bucket, Policy=policy)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    storage, own = Storage(S3Settings(anonymous=(bucket,)), patience=0), s3_server.fresh_prefix()

    (shard,) = list_shards(storage, [f"s3://{bucket}/articles"], lambda name: name.endswith(".xml")).shards
    assert storage.open(shard.name).read() == b"<article/>"
    storage.check_writable(own)
    with pytest.raises(PermissionError):
        storage.write_bytes(f"s3://{bucket}/articles/b.xml", b"")  # it would be let in if it were signed
    filesystem.pipe_file(f"s3://{bucket}/articles/b.xml", b"")
    assert "AWS_SKIP_SIGNATURE" not in storage.delta_options(own)
    with pytest.raises(SettingsError, match=r"denied|credentials"):
        Storage(S3Settings(anonymous=True), patience=0).check_writable(own)


def test_a_profiles_credentials_reach_both_clients(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id = {s3_server.key}\naws_secret_access_key = {s3_server.secret}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    storage = Storage(S3Settings(endpoint_url=s3_server.endpoint, profile="lab", region="us-east-1"))
    storage.check_writable(s3_server.fresh_prefix())
    assert storage.delta_options(f"s3://{BUCKET}")["AWS_SECRET_ACCESS_KEY"] == s3_server.secret
    assert s3_server.secret not in repr(storage)


def test_writing_leaves_no_half_file(tmp_path: Path):
    LOCAL.write_bytes(f"{tmp_path}/deep/er/x.json", b"{}")
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["x.json"]


@pytest.fixture
def on_s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh prefix, reached by the usual environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server.fresh_prefix()


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


def test_storage_that_does_not_come_back_is_given_up_after_the_patience(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setenv(name, value)
    impatient = Storage(S3Settings(endpoint_url="http://127.0.0.1:1"), patience=1)
    with pytest.raises(StorageError, match="storage failed for 1 s at s3://bucket/x: nothing answers at the endpoint"):
        impatient.write_bytes("s3://bucket/x", b"")


def test_what_is_not_there_is_told_at_once(on_s3: str):
    with pytest.raises(FileNotFoundError):
        LOCAL.read_bytes(f"{on_s3}/nothing")
    assert LOCAL.names(f"{on_s3}/nothing") == []


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
