"""Records of JSON, CSV and Parquet: layouts, columns, ids."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from craft_ray.core.schema import Document, Rejection
from tests.support.reading import only, read, refused, sections

RECORDS = [{"id": "a", "text": "Pax6"}, {"id": "b", "text": "mice"}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        "\n".join(json.dumps(record, indent=2) for record in RECORDS),
        "\n".join(map(json.dumps, RECORDS)),
    ],
    ids=["array", "pretty array", "pretty objects", "lines"],
)
def test_layouts_of_json(content: str):
    for name in ("x.json", "x.jsonl"):
        assert [(item.doc_id, sections(item)) for item in read(content, name)] == [
            ("a", [("text", "Pax6")]),
            ("b", [("text", "mice")]),
        ]


def test_file_without_json_is_an_error():
    reason, detail = refused("Pax6 acts.\n" * 500, "x.jsonl")
    assert (reason, "none of the first 500 lines" in detail) == ("bad_json", True)


def test_bad_lines_are_rejected_one_by_one():
    expected = {
        b"{oops}": ("x.jsonl#1", "bad_json"),
        b'{"id": "a", "text": "Pax6", "year": 2020, "source": "lab"}': ("a", None),
        b"{broken": ("x.jsonl#3", "bad_json"),
        b'{"id": "b", "text": 5}': ("b", "bad_record"),
        b'{"text": "no id"}': ("x.jsonl#5", None),
        b"\xff\xfe": ("x.jsonl#6", "bad_encoding"),
        b'{"id": 7, "text": ""}': ("7", "empty_text"),
    }
    items = read(b"\n".join(expected) + b"\n\n", "x.jsonl")
    assert [(item.doc_id, getattr(item, "reason", None)) for item in items] == list(expected.values())
    assert isinstance(items[1], Document)
    assert (items[1].metadata, items[1].year) == ({"source": "lab"}, 2020)


@pytest.mark.parametrize(
    ("record", "options", "doc_id", "expected"),
    [
        ({"_id": "a", "title": "T", "text": "Pax6"}, {}, "a", [("text", "Pax6")]),
        ({"docid": "a", "contents": "Pax6"}, {}, "a", [("contents", "Pax6")]),
        ({"pmid": 7, "title": "T.", "abstract": "Pax6"}, {}, "PMID:7", [("title", "T."), ("abstract", "Pax6")]),
        ({"PMID": "7", "Abstract": "Pax6", "Body": None}, {}, "PMID:7", [("Abstract", "Pax6")]),
        ({"pmcid": "PMC7", "body": "Pax6"}, {}, "PMCID:PMC7", [("body", "Pax6")]),
        ({"id": "a", "text": "no", "note": "Pax6", "k": 1}, {"text_column": ("note",)}, "a", [("note", "Pax6")]),
        ({"id": "a", "key": "b", "text": "x"}, {"id_column": "key"}, "b", [("text", "x")]),
        ({"id": "a", "q": "Who?", "a": "Pax6"}, {"text_column": ("a", "q")}, "a", [("a", "Pax6"), ("q", "Who?")]),
    ],
)
def test_columns_are_found_or_named_by_settings(record, options, doc_id, expected):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([record]), sink)
    for content, name in ((json.dumps(record).encode(), "x.jsonl"), (sink.getvalue(), "x.parquet")):
        found = only(content, name, **options)
        assert (found.doc_id, sections(found)) == (doc_id, expected)
        columns = {
            "id": next(k for k in record if record[k] in (doc_id, 7, "7", "PMC7")),
            "text": [n for n, _ in expected],
        }
        usual = columns == {"id": "id", "text": ["text"]}
        assert usual or set(found.metadata["columns_read"]["text"]) >= set(columns["text"])
        assert usual or found.metadata["columns_read"]["id"] == columns["id"]


def test_records_without_text_are_rejected():
    (found,) = read('{"id": "a", "title": "Pax6", "prose": "mice"}\n', "x.jsonl")
    assert isinstance(found, Rejection)
    assert found.reason == "bad_record"
    assert refused("id,prose\na,mice\n", "x.csv")[0] == "bad_record"
    (found,) = read('{"id": "a", "text": "mice"}\n', "x.jsonl", text_column=("prose",))
    assert isinstance(found, Rejection)
    assert "`prose`" in found.detail


def test_tsv():
    assert [item.doc_id for item in read("id\ttext\na\tPax6\nb\tmice\n", "x.tsv")] == ["a", "b"]


def test_rows_of_parquet_without_an_id_are_numbered():
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", None], "text": ["Pax6", "mice"]}), sink)
    assert [item.doc_id for item in read(sink.getvalue(), "x.parquet")] == ["a", "x.parquet#1"]


def test_id_prefix():
    lines = '{"id": 1, "text": "Pax6"}\n{"text": "no id"}\n'
    assert [item.doc_id for item in read(lines, "p/x.jsonl", id_prefix="shard")] == ["p/x.jsonl#1", "p/x.jsonl#2"]
    assert [item.doc_id for item in read(lines, "p/x.jsonl", id_prefix="trial-")] == ["trial-1", "p/x.jsonl#2"]
