"""A full store or disk is a permanent error."""

import errno
import os

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from tests.support.scripted_store import scripted_store

FULL = "the object storage is full, or a quota of it is used up"


@pytest.mark.parametrize(
    ("status", "code"), [(507, "XMinioStorageFull"), (403, "QuotaExceeded")], ids=["MinIO", "Ceph"]
)
def test_full_store(status: int, code: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    folder = "s3://bucket/out"
    with scripted_store(status, code, only_puts=True) as endpoint:
        storage = Storage(S3Settings(endpoint_url=endpoint, region="us-east-1"), patience=600)
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
