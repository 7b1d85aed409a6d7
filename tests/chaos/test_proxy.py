"""The proxy passes signed requests on, and each fault does what its name says."""

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.chaos.proxy import Fault, Kind, Proxy, running_proxy
from tests.support.s3_server import BUCKET, S3Server

pytestmark = pytest.mark.integration

CONTENT = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    with running_proxy(s3_server.endpoint, seed=0) as proxy:
        yield proxy


@pytest.fixture
def client(s3_server: S3Server, proxy: Proxy) -> Iterator[Any]:
    """A client that signs for the proxy's address and tries each request once."""
    yield botocore.session.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=proxy.endpoint,
        aws_access_key_id=s3_server.key,
        aws_secret_access_key=s3_server.secret,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=20),
    )
    proxy.heal()


@pytest.fixture
def key(s3_server: S3Server, request: pytest.FixtureRequest) -> str:
    """The key of an existing object."""
    key = f"proxy/{request.node.name}"
    s3_server.filesystem().pipe_file(f"{BUCKET}/{key}", CONTENT)
    return key


def read(client: Any, key: str) -> bytes:
    return bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def test_signed_requests_pass(client: Any, s3_server: S3Server, key: str):
    assert read(client, key) == CONTENT
    assert client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == len(CONTENT)
    client.put_object(Bucket=BUCKET, Key=f"{key} ä+%2F", Body=CONTENT[:100])
    assert s3_server.filesystem().cat_file(f"{BUCKET}/{key} ä+%2F") == CONTENT[:100]
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=key)["Contents"]
    assert {entry["Key"] for entry in listed} == {key, f"{key} ä+%2F"}
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"", IfNoneMatch="*")
    client.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(ClientError, match="NoSuchKey"):
        read(client, key)


@pytest.mark.parametrize("kind", ["slow_down", "reset", "truncate"])
def test_faults_of_reading(client: Any, proxy: Proxy, key: str, kind: Kind):
    proxy.strike(Fault(kind))
    with pytest.raises((BotoCoreError, ClientError)):
        read(client, key)
    proxy.heal()
    assert read(client, key) == CONTENT


@pytest.mark.parametrize(("kind", "left"), [("reset", CONTENT), ("lost_acknowledgement", b"new")])
def test_faults_of_writing(client: Any, proxy: Proxy, s3_server: S3Server, key: str, kind: Kind, left: bytes):
    proxy.strike(Fault(kind))
    with pytest.raises(BotoCoreError):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"new")
    assert s3_server.filesystem().cat_file(f"{BUCKET}/{key}") == left


def test_faults_of_some_requests(client: Any, proxy: Proxy, key: str):
    proxy.strike(Fault("slow_down", left=2))
    for _ in range(2):
        with pytest.raises(ClientError):
            read(client, key)
    assert read(client, key) == CONTENT
