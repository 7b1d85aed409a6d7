"""A prefix on the S3 server."""

import pytest

from tests.support.s3_server import S3Server


@pytest.fixture
def on_s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh prefix, reached by the usual environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server.fresh_prefix()
