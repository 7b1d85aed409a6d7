"""Exclusive creation of files, on S3 servers of different makers."""

from collections.abc import Callable, Iterator

import pytest

from craft_ray.core.errors import OutputBusyError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import hold_lease
from tests.support.moto_server import running_moto
from tests.support.s3_server import S3Access, S3Server


@pytest.fixture(scope="module", params=["moto", "seaweedfs"])
def server(request: pytest.FixtureRequest, s3_server: S3Server) -> Iterator[S3Access]:
    if request.param == "seaweedfs":
        yield s3_server
        return
    with running_moto() as started:
        yield started


@pytest.fixture
def prefix(server: S3Access, fresh_prefix_on: Callable[[S3Access], str]) -> str:
    return fresh_prefix_on(server)


@pytest.fixture
def storage(prefix: str) -> Storage:
    return Storage(S3Settings(), patience=5)


def test_create(storage: Storage, prefix: str):
    assert storage.create(f"{prefix}/x", b"first")
    assert not storage.create(f"{prefix}/x", b"second")
    assert storage.create(f"{prefix}/x", b"first"), "its writer, who has lost the acknowledgement"
    assert storage.read_bytes(f"{prefix}/x") == b"first"


def test_the_second_run_finds_the_output_busy(storage: Storage, prefix: str):
    with (
        hold_lease(storage, prefix),
        pytest.raises(OutputBusyError),
        hold_lease(storage, prefix),
    ):
        pytest.fail("two runs hold one output")
