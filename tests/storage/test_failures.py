"""Which storage errors are retried, and what they are called."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from botocore import exceptions as boto
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from craft_ray.tables.output import open_output
from tests.support.outputs import STORAGE, commit, numbered_document
from tests.support.scripted_store import scripted_store

PERMANENT = [
    (301, "PermanentRedirect"),
    (400, ""),
    (400, "ExpiredToken"),
    (403, ""),
    (403, "AccessDenied"),
    (404, "NoSuchBucket"),
    (412, "PreconditionFailed"),
    (501, "NotImplemented"),
    (507, "XMinioStorageFull"),
]
TRANSIENT = [
    (0, ""),
    (400, "RequestTimeout"),
    (409, "OperationAborted"),
    (429, ""),
    (500, "InternalError"),
    (502, ""),
    (503, "SlowDown"),
    (522, ""),
]


def attempts(action: Callable[[], Any]) -> tuple[int, BaseException]:
    """Run an action with retries until it fails for good or a second time; return how often it ran, and its error."""
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            action()
        except Exception as error:
            errors.append(error)
            if len(errors) == 2:
                return
            raise

    with suppress(Exception):
        Storage(S3Settings(), patience=600).with_retries("s3://bucket/x", attempt)
    return len(errors), errors[0]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")


@pytest.mark.parametrize(
    ("status", "code", "expected"), [(*answer, 1) for answer in PERMANENT] + [(*answer, 2) for answer in TRANSIENT]
)
def test_delta_retries_transient_answers_only(status: int, code: str, expected: int):
    with scripted_store(status, code) as endpoint:
        storage = Storage(S3Settings(endpoint_url=endpoint, region="us-east-1"))
        options = storage.delta_options("s3://bucket") | {"max_retries": "0"}
        made, error = attempts(lambda: DeltaTable("s3://bucket/table", storage_options=options))
    assert made == expected, describe(error)


@pytest.mark.parametrize(
    ("status", "code", "expected"), [(403, "", 1), (400, "ExpiredToken", 1), (400, "", 1), (429, "", 2), (503, "", 2)]
)
def test_s3fs_retries_transient_answers_only(status: int, code: str, expected: int):
    with scripted_store(status, code) as endpoint:
        storage = Storage(S3Settings(endpoint_url=endpoint, region="us-east-1"))
        client = storage.filesystem("s3://bucket")
        client.retries = 1
        made, error = attempts(lambda: client.cat_file("s3://bucket/x", max_concurrency=1))
    assert made == expected, describe(error)


CONFIGURATION = [
    boto.NoRegionError(),
    boto.UnauthorizedSSOTokenError(),
    boto.SSOTokenLoadError(error_msg="no token"),
    boto.TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed"),
    boto.CredentialRetrievalError(provider="custom-process", error_msg="exit code 1"),
    boto.NoCredentialsError(),
    boto.ParamValidationError(report='Invalid bucket name "Bad Bucket"'),
    boto.InvalidRegionError(region_name="no where"),
]
CONNECTION = [
    boto.ReadTimeoutError(endpoint_url="http://store"),
    boto.ConnectTimeoutError(endpoint_url="http://store"),
    boto.EndpointConnectionError(endpoint_url="http://store"),
    boto.ConnectionClosedError(endpoint_url="http://store"),
    boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ConnectionResetError(),
    TimeoutError(),
]


@pytest.mark.parametrize("error", [*CONFIGURATION, *CONNECTION], ids=lambda error: type(error).__name__)
def test_timeouts_and_lost_connections_are_transient_and_errors_of_the_configuration_are_not(error: Exception):
    def fail() -> None:
        raise error

    assert attempts(fail) == (2 if error in CONNECTION else 1, error)


def test_a_schema_mismatch_is_permanent(tmp_path: Path):
    write_deltalake(tmp_path, pa.table({"a": [1]}))
    made, error = attempts(lambda: write_deltalake(tmp_path, pa.table({"b": ["x"]}), mode="append"))
    assert made == 1, describe(error)


def test_numbers_in_a_message_mean_nothing(tmp_path: Path):
    commit(tmp_path, [numbered_document(0)])
    for version in ("403", "503"):
        with pytest.raises(SettingsError) as failed:
            open_output(STORAGE, str(tmp_path), version)
        assert "denied" not in str(failed.value)
        assert "requests" not in str(failed.value)


def test_an_expired_session_says_how_to_renew_it():
    assert "aws sso login" in describe(boto.UnauthorizedSSOTokenError())
    assert "region" in describe(boto.NoRegionError())


FULL = "the object storage is full, or a quota of it is used up"


@pytest.mark.parametrize(
    ("status", "code"), [(507, "XMinioStorageFull"), (403, "QuotaExceeded")], ids=["MinIO", "Ceph"]
)
def test_full_store(status: int, code: str):
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
