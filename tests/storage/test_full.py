"""A full store or disk is a permanent error."""

import errno
import os
import secrets
from collections.abc import Iterator

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from tests.support.ceph_server import CephAccess
from tests.support.scripted_store import scripted_store

FULL = "the object storage is full, or a quota of it is used up"


@pytest.fixture
def full_minio(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address in an empty store that answers each PUT as MinIO does where a drive has reached its threshold."""
    with scripted_store(507, "XMinioStorageFull", only_puts=True) as endpoint:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        yield "s3://bucket/out"


@pytest.fixture
def full_ceph(ceph: CephAccess, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address in a bucket whose quota of one object is used up."""
    for name, value in ceph.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"full-{secrets.token_hex(4)}"
    ceph.filesystem().call_s3("create_bucket", Bucket=bucket)
    of_bucket = ("--quota-scope=bucket", f"--bucket={bucket}")
    ceph.administer("quota", "set", *of_bucket, "--max-objects=1")
    ceph.administer("quota", "enable", *of_bucket)
    ceph.filesystem().pipe_file(f"s3://{bucket}/the only one", b"x")
    return f"s3://{bucket}/out"


@pytest.mark.parametrize("maker", ["minio", "ceph"])
def test_full_store(maker: str, request: pytest.FixtureRequest):
    folder: str = request.getfixturevalue(f"full_{maker}")
    storage = Storage(S3Settings(region="us-east-1"), patience=600)
    options = storage.delta_options(folder) | {"max_retries": "0"}
    with pytest.raises(SettingsError, match=f"cannot reach the output .*: {FULL}"):
        storage.check_writable(folder)
    with pytest.raises(DeltaError) as failed:
        storage.with_retries(
            folder, lambda: write_deltalake(f"{folder}/table", pa.table({"a": [1]}), storage_options=options)
        )
    assert describe(failed.value) == FULL


def test_full_disk():
    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as failed:
        Storage(S3Settings(), patience=600).with_retries("s3://bucket/x", fail)
    assert describe(failed.value) == "the disk is full"
