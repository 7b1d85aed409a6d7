"""Rows of the pipeline: documents in columns, rejections, and what ends a run."""

import pyarrow as pa

from craft_ray.annotation.counts import ShardAccount
from craft_ray.annotation.items import CheckedItem, check_item
from craft_ray.annotation.rows import TOKENIZED, Row, rejection_row, scalar_columns
from craft_ray.core.schema import Document, Rejection, Section
from tests.support.outputs import numbered_document

SHARD = "in/a.jsonl"


def test_columns_of_rows():
    sections = (Section("title", 0, 4), Section("abstract", 5, 9))
    given = Document("a", "Mice rats", sections, 2, "Mice", 1999, "A journal", {"pmc": "7"})
    rejected = CheckedItem(Rejection("b", "bad_xml", "it ends"))
    rows = [Row(check_item("", given, SHARD), 6, "annotated", "content", 5), Row(rejected, 8, "rejected", "", 7)]
    account = ShardAccount(SHARD, 4, SHARD, part=1, parts=2, position=90)
    first, second = pa.table(scalar_columns(rows, account)).to_pylist()
    place = {"shard": SHARD, "shard_number": 4, "part": 1, "position": 90}
    assert first == place | {
        "doc_id": "a",
        "version": 2,
        "content_hash": "content",
        "status": "annotated",
        "reason": None,
        "detail": None,
        "key": 5,
        "id_hash": 6,
        "title": "Mice",
        "year": 1999,
        "journal": "A journal",
        "text": "Mice rats",
        "metadata": '{"pmc": "7"}',
        "sections": [{"name": "title", "start": 0, "end": 4}, {"name": "abstract", "start": 5, "end": 9}],
    }
    assert second == dict.fromkeys(first) | place | {
        "doc_id": "b",
        "version": 0,
        "content_hash": "",
        "status": "rejected",
        "reason": "bad_xml",
        "detail": "it ends",
        "key": 7,
        "id_hash": 8,
    }


def test_rejection_row():
    given = pa.Table.from_pylist([numbered_document(1) | {"shard_number": 4}], schema=TOKENIZED)
    (row,) = rejection_row(given, "failed", "x" * 1001).to_pylist()
    told = {name: row[name] for name in ("doc_id", "status", "reason", "detail", "shard", "shard_number", "id_hash")}
    assert told == {
        "doc_id": "PMID:000001",
        "status": "rejected",
        "reason": "failed",
        "detail": "x" * 1000,
        "shard": "shard",
        "shard_number": 4,
        "id_hash": given["id_hash"][0].as_py(),
    }
    assert (row["text"], row["token_ids"], row["n_tokens"]) == (None, [], 0)
