"""Clients of real S3 servers: credentials that are renewed, public buckets, profiles, exclusive creation."""

import json
import pickle
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import DOCUMENTS
from craft_ray.core.settings import S3Settings
from craft_ray.storage.listing import list_shards
from craft_ray.storage.storage import Storage
from craft_ray.tables.delta import NumberedTable
from tests.support.moto_server import running_moto
from tests.support.outputs import block, table
from tests.support.s3_server import BUCKET, S3Access, S3Server, running_s3_server


def test_pickled_storage_connects_again(s3_server: S3Server, on_s3: str):
    storage = Storage(S3Settings(endpoint_url=s3_server.endpoint))
    storage.write_bytes(f"{on_s3}/x.txt", b"content")
    pickled = pickle.dumps(storage)
    assert s3_server.secret.encode() not in pickled
    assert pickle.loads(pickled).open(f"{on_s3}/x.txt").read() == b"content"


def test_anonymous_bucket(s3_server: S3Server, on_s3: str):
    filesystem, bucket = s3_server.filesystem(), f"public-{secrets.token_hex(4)}"
    filesystem.call_s3("create_bucket", Bucket=bucket)
    filesystem.pipe_file(f"s3://{bucket}/articles/a.xml", b"<article/>")
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    actions = ["s3:GetObject", "s3:ListBucket"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    filesystem.call_s3("put_bucket_policy", Bucket=bucket, Policy=policy)
    storage = Storage(S3Settings(anonymous=(bucket,)), patience=0)

    (shard,) = list_shards(storage, [f"s3://{bucket}/articles"], lambda name: name.endswith(".xml")).shards()
    assert storage.open(shard.name).read() == b"<article/>"
    storage.check_writable(on_s3)
    with pytest.raises(PermissionError):
        storage.write_bytes(f"s3://{bucket}/articles/b.xml", b"")  # a signed request would succeed
    filesystem.pipe_file(f"s3://{bucket}/articles/b.xml", b"")
    assert "AWS_SKIP_SIGNATURE" not in storage.delta_options(on_s3)
    with pytest.raises(SettingsError, match=r"denied|credentials"):
        Storage(S3Settings(anonymous=True), patience=0).check_writable(on_s3)


def test_profile(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id = {s3_server.key}\naws_secret_access_key = {s3_server.secret}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    storage = Storage(S3Settings(endpoint_url=s3_server.endpoint, profile="lab", region="us-east-1"))
    storage.check_writable(s3_server.fresh_prefix())
    assert storage.delta_options(f"s3://{BUCKET}")["AWS_SECRET_ACCESS_KEY"] == s3_server.secret
    assert s3_server.secret not in repr(storage)


@pytest.fixture(scope="module", params=["moto", "seaweedfs"])
def server(request: pytest.FixtureRequest, s3_server: S3Server) -> Iterator[S3Access]:
    if request.param == "seaweedfs":
        yield s3_server
        return
    with running_moto() as started:
        yield started


def test_create(server: S3Access, fresh_prefix_on: Callable[[S3Access], str]):
    prefix, storage = fresh_prefix_on(server), Storage(S3Settings(), patience=5)
    assert storage.create(f"{prefix}/x", b"first")
    assert not storage.create(f"{prefix}/x", b"second")
    assert storage.create(f"{prefix}/x", b"first"), "its writer, who has lost the acknowledgement"
    assert storage.read_bytes(f"{prefix}/x") == b"first"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[S3Server]:
    (tmp_path / "store").mkdir()
    with running_s3_server(tmp_path / "store") as server:
        yield server


@pytest.fixture
def renew(own_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the server take another key alone, which the profile `lab` then has for some minutes."""
    answer = tmp_path / "credentials.json"
    (tmp_path / "config").write_text(f"[profile lab]\ncredential_process = cat {answer}\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    def renew(key: str) -> None:
        own_server.stop()
        own_server.key, own_server.secret, own_server._filesystem = key, f"secret of {key}", None
        own_server.start()
        expires = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        credentials = {"AccessKeyId": key, "SecretAccessKey": own_server.secret, "Expiration": expires}
        answer.write_text(json.dumps({"Version": 1, **credentials}))

    renew("first")
    return renew


def test_renewed_credentials_reach_both_clients(own_server: S3Server, renew: Callable[[str], None]):
    storage = Storage(S3Settings(endpoint_url=own_server.endpoint, profile="lab"), patience=20)
    output = f"s3://{BUCKET}/out"
    documents = NumberedTable(storage, output, "documents", DOCUMENTS)
    documents.fence()
    documents.commit_files(block(output, ("a", "mouse"), storage=storage).documents, 1)
    renew("second")
    storage.write_bytes(f"{output}/x", b"content")
    documents.commit_files(block(output, ("b", "rat"), storage=storage).documents, 2)
    assert documents.pair == 2
    assert table(output, "documents", storage.delta_options(output))["doc_id"].to_pylist() == ["b", "a"]
