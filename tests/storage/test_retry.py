"""Storage that fails: what is tried again, and for how long."""

import errno
import os

import pytest

from craft_ray.core.errors import StorageError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.failures import describe
from craft_ray.storage.retry import with_retries
from craft_ray.storage.storage import Storage

LOCAL = Storage(S3Settings())


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


def test_what_may_pass_is_tried_again_and_what_will_not_is_raised_at_once():
    tries = []

    def busy_twice() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise TimeoutError
        return "content"

    assert with_retries("s3://bucket/x", busy_twice, patience=60) == "content"
    assert len(tries) == 3
    with pytest.raises(ZeroDivisionError):
        with_retries("s3://bucket/x", lambda: 1 // 0, patience=60)
    with pytest.raises(StorageError, match="storage failed at s3://bucket/x"):
        with_retries("s3://bucket/x", lambda: [][0], patience=0, also=(IndexError,))


def test_a_full_disk_is_told_at_once():
    tries = []

    def full() -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as told:
        Storage(S3Settings(), patience=1).with_retries("/out/entities", full)
    assert len(tries) == 1
    assert describe(told.value) == "the disk is full"
