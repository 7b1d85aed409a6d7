"""Credentials of a profile that are replaced during a run, on a real S3 server that refuses the old ones."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from craft_ray.core.schema import DOCUMENTS
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.delta import NumberedTable
from tests.support.outputs import block, table
from tests.support.s3_server import BUCKET, S3Server, running_s3_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    (tmp_path / "store").mkdir()
    with running_s3_server(tmp_path / "store") as server:
        yield server


@pytest.fixture
def renew(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the server take another key alone, which the profile `lab` then has for some minutes."""
    answer = tmp_path / "credentials.json"
    (tmp_path / "config").write_text(f"[profile lab]\ncredential_process = cat {answer}\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    def renew(key: str) -> None:
        server.stop()
        server.key, server.secret, server._filesystem = key, f"secret of {key}", None
        server.start()
        expires = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        credentials = {"AccessKeyId": key, "SecretAccessKey": server.secret, "Expiration": expires}
        answer.write_text(json.dumps({"Version": 1, **credentials}))

    renew("first")
    return renew


def test_renewed_credentials_reach_both_clients(server: S3Server, renew: Callable[[str], None]):
    storage = Storage(S3Settings(endpoint_url=server.endpoint, profile="lab"), patience=20)
    output = f"s3://{BUCKET}/out"
    documents = NumberedTable(storage, output, "documents", DOCUMENTS)
    documents.fence()
    documents.commit_files(block(output, ("a", "mouse"), storage=storage).documents, 1)
    renew("second")
    storage.write_bytes(f"{output}/x", b"content")
    documents.commit_files(block(output, ("b", "rat"), storage=storage).documents, 2)
    assert documents.pair == 2
    assert table(output, "documents", storage.delta_options(output))["doc_id"].to_pylist() == ["b", "a"]
