"""A file that is there is not created again, also on servers that answer as AWS does."""

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from craft_ray.core.errors import OutputBusyError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables import lease


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """Storage on moto's server, which names the failed condition as AWS does, with the bucket `tables`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "moto")
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    made = Storage(S3Settings(endpoint_url=f"http://{host}:{port}", region="us-east-1"), patience=5)
    try:
        made.filesystem("s3://tables").call_s3("create_bucket", Bucket="tables")
        yield made
    finally:
        server.stop()


def test_of_two_writers_one_creates_the_file(storage: Storage):
    assert storage.create("s3://tables/lease", b"first")
    assert not storage.create("s3://tables/lease", b"second")
    assert storage.read_bytes("s3://tables/lease") == b"first"


def test_a_writer_whose_own_file_is_there_has_created_it(storage: Storage):
    """As after an acknowledgement that was lost."""
    assert storage.create("s3://tables/acknowledgement", b"mine")
    assert storage.create("s3://tables/acknowledgement", b"mine")


def test_the_second_of_two_runs_is_told_that_the_output_is_busy(storage: Storage):
    with (
        lease.held(storage, "s3://tables/out", "first", lambda seconds: False, lambda text: None),
        pytest.raises(OutputBusyError),
        lease.held(storage, "s3://tables/out", "second", lambda seconds: False, lambda text: None),
    ):
        pytest.fail("two runs hold one output")
