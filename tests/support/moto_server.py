"""moto's S3 server, which names a failed condition as AWS does."""

from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from tests.support.s3_server import BUCKET, S3Access


@contextmanager
def running_moto() -> Iterator[S3Access]:
    """Start it on a free port of this machine, in a thread; it keeps all in memory."""
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    try:
        access = S3Access(server.get_host_and_port()[1], "moto", "moto")
        access.filesystem().call_s3("create_bucket", Bucket=BUCKET)
        yield access
    finally:
        server.stop()
