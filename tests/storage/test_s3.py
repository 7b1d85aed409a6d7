"""Clients of a real S3 server: credentials, public buckets, profiles."""

import json
import pickle
import secrets
from pathlib import Path

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.listing import list_shards
from craft_ray.storage.storage import Storage
from tests.support.s3_server import BUCKET, S3Server


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
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": resources,
    }
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
