"""Records of JSON, TSV and Parquet: their layouts, columns and ids."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from craft_ray.core.schema import Rejection
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
def test_json_is_read_however_it_is_laid_out(content: str):
    for name in ("x.json", "x.jsonl"):
        assert [(item.doc_id, sections(item)) for item in read(content, name)] == [
            ("a", [("text", "Pax6")]),
            ("b", [("text", "mice")]),
        ]


def test_a_file_that_is_no_json_lines_is_one_rejection():
    reason, detail = refused("Pax6 acts.\n" * 500, "x.jsonl")
    assert (reason, "none of the first 500 lines" in detail) == ("bad_json", True)


def test_bad_lines_before_the_first_good_one_are_each_rejected():
    items = read('{oops}\n{"id": "a", "text": "Pax6"}\n{oops}\n', "x.jsonl")
    assert [item.doc_id for item in items] == ["x.jsonl#1", "a", "x.jsonl#3"]


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
def test_columns_are_found_by_their_usual_names_or_given(record, options, doc_id, expected):
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


def test_records_without_a_column_of_text_are_rejected():
    (found,) = read('{"id": "a", "title": "Pax6", "prose": "mice"}\n', "x.jsonl")
    assert isinstance(found, Rejection)
    assert found.reason == "bad_record"
    assert refused("id,prose\na,mice\n", "x.csv")[0] == "bad_record"
    (found,) = read('{"id": "a", "text": "mice"}\n', "x.jsonl", text_column=("prose",))
    assert isinstance(found, Rejection)
    assert "`prose`" in found.detail


def test_tsv_is_read_with_its_columns():
    assert [item.doc_id for item in read("id\ttext\na\tPax6\nb\tmice\n", "x.tsv")] == ["a", "b"]


def test_ids_get_the_prefix_that_is_asked_for():
    lines = '{"id": 1, "text": "Pax6"}\n{"text": "no id"}\n'
    assert [item.doc_id for item in read(lines, "p/x.jsonl", id_prefix="shard")] == ["p/x.jsonl#1", "p/x.jsonl#2"]
    assert [item.doc_id for item in read(lines, "p/x.jsonl", id_prefix="trial-")] == ["trial-1", "p/x.jsonl#2"]
