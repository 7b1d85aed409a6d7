"""The harness sees lost, duplicate, changed and incomplete documents, and files that were never committed."""

from dataclasses import replace

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.chaos import outcome
from tests.support.s3_server import S3Server

pytestmark = pytest.mark.integration

DOCUMENTS = pa.table({"doc_id": ["a", "b"], "n_entities": [1, 1], "run_id": ["r", "r"], "block_id": ["x", "x"]})
ENTITIES = pa.table({"doc_id": ["a", "b"], "score": [0.5, 0.6], "run_id": ["r", "r"], "block_id": ["x", "x"]})


@pytest.fixture
def output(s3_server: S3Server) -> str:
    """An output of two documents with an entity each."""
    output = s3_server.fresh_prefix()
    for name, rows in (("documents", DOCUMENTS), ("entities", ENTITIES)):
        write_deltalake(f"{output}/{name}", rows, storage_options=outcome.options(s3_server))
    return output


def test_missing_duplicate_and_changed_rows(s3_server: S3Server, output: str):
    whole = outcome.outcome(output, outcome.options(s3_server))
    assert outcome.differing(whole, whole) == 0
    assert outcome.differing(replace(whole, documents=whole.documents[1:]), whole) == 1
    assert outcome.differing(replace(whole, entities=whole.entities * 2), whole) == 2
    changed = [{**whole.documents[0], "n_entities": 2}, whole.documents[1]]
    assert outcome.differing(replace(whole, documents=changed), whole) == 2


def test_documents_without_all_entities(s3_server: S3Server, output: str):
    assert outcome.committed(s3_server, output) == ({"a": 1, "b": 1}, 0)
    options = outcome.options(s3_server)
    write_deltalake(f"{output}/entities", ENTITIES.slice(0, 1), mode="overwrite", storage_options=options)
    assert outcome.committed(s3_server, output) == ({"a": 1, "b": 1}, 1)
    assert outcome.committed(s3_server, f"{output}/nothing") == ({}, 0)


def test_uncommitted_blocks(s3_server: S3Server, output: str):
    options = outcome.options(s3_server)
    write_deltalake(f"{output}/documents", DOCUMENTS, mode="overwrite", storage_options=options)
    DeltaTable(f"{output}/documents", storage_options=options).create_checkpoint()  # Parquet as well, and no data
    assert len(outcome.unreferenced(s3_server, output, "documents")) == 1
    assert outcome.staged(s3_server, output) == set()
    files = s3_server.filesystem()
    (mine,) = outcome.snapshot(s3_server, output, "documents")
    files.copy(f"{output}/documents/{mine}", f"{output}/documents/stray.parquet")
    assert {path.rpartition("/")[2] for path in outcome.staged(s3_server, output)} == {"stray.parquet"}
    assert len(outcome.commits(s3_server, output)) == 2


def test_errors_of_the_store_are_retried():
    answers = [OSError("500 Internal Server Error"), 3]

    def look() -> int:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert outcome.patiently(look) == 3
    with pytest.raises(OSError, match="gone"):
        outcome.patiently(lambda: (_ for _ in ()).throw(OSError("gone")), seconds=-1)
