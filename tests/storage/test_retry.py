"""How long storage is retried."""

import pytest

from craft_ray.core.errors import StorageError
from craft_ray.core.settings import S3Settings
from craft_ray.storage import retry
from craft_ray.storage.retry import with_retries
from craft_ray.storage.storage import Storage


def test_people_are_told_why_it_takes_so_long(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(retry, "WARN_AFTER", 0)
    with pytest.raises(StorageError):
        with_retries("s3://bucket/x", failing, 0.1, lambda: "http://store:1")
    sentence = "storage fails at s3://bucket/x and is retried for 0.1 s: nothing answers at the endpoint http://store:1"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [sentence]


def test_a_missing_object_is_not_retried(on_s3: str):
    storage = Storage(S3Settings(), patience=600)
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{on_s3}/nothing")
    assert storage.names(f"{on_s3}/nothing") == []


def failing() -> None:
    raise TimeoutError


def test_an_action_that_gave_up_is_not_retried_by_its_caller():
    attempts = []

    def give_up() -> None:
        attempts.append(1)
        with_retries("s3://bucket/x", failing, patience=0)

    with pytest.raises(StorageError, match="storage failed at s3://bucket/x: nothing answers"):
        with_retries("s3://bucket/x", give_up, patience=60)
    assert len(attempts) == 1
