"""A prefix on the S3 server, and another maker's server."""

from collections.abc import Iterator

import pytest

from tests.support.ceph_server import CephAccess, running_ceph
from tests.support.s3_server import S3Server


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CephAccess]:
    """Ceph, or no test of it where it is not installed."""
    with running_ceph(tmp_path_factory.mktemp("ceph")) as access:
        yield access


@pytest.fixture
def on_s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh prefix, reached by the usual environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server.fresh_prefix()
