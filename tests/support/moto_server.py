"""moto's S3 server, whose errors for a failed condition are those of AWS."""

from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from tests.support.s3_server import BUCKET, S3Access


@contextmanager
def running_moto() -> Iterator[S3Access]:
    """A server in a thread, with its data in memory. The kernel assigns its port."""
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    try:
        access = S3Access(server.get_host_and_port()[1], "moto", "moto")
        access.filesystem().call_s3("create_bucket", Bucket=BUCKET)
        yield access
    finally:
        server.stop()
