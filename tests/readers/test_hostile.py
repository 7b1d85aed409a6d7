"""What readers make of inputs that mean harm."""

import io
import json

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from craft_ray.checkpoint import EMBEDDED_FOLDER
from craft_ray.ledger import Ledger, entries
from craft_ray.prepare import Preparer
from craft_ray.readers import limits
from craft_ray.schema import REASONS, SHARD_END
from tests.hostile import Case, cases

TOKENIZER = Tokenizer.from_file(str(EMBEDDED_FOLDER / "tokenizer.json"))
TOKENIZER.no_truncation()
TOKENIZER.no_padding()
PREPARER = Preparer(TOKENIZER, 510, 0, "model", Ledger.of(entries([], [], [], [])))


def prepared(case: Case) -> pa.Table:
    return pa.concat_tables(PREPARER.prepare(io.BytesIO(case.make()), case.name, 0, None))


def no_json(name: str) -> None:
    raise ValueError(name)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_each_hostile_shard_gives_its_good_documents_and_a_reason_for_each_bad_one(case: Case, monkeypatch):
    """Bombs are as much larger than a document may be as in the full job, where they have hundreds of megabytes."""
    monkeypatch.setattr(limits, "LARGEST", 15 << 20)
    *rows, end = prepared(case).select(["doc_id", "status", "reason", "metadata"]).to_pylist()
    assert {row["doc_id"]: row["reason"] or row["status"] for row in rows} == case.expected(case.name)
    assert len(rows) == len(case.outcome)
    assert end["status"] == SHARD_END
    assert {row["reason"] for row in rows} <= {None, *REASONS}
    for row in rows:
        assert row["metadata"] is None or isinstance(json.loads(row["metadata"], parse_constant=no_json), dict)
