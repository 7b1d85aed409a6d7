"""Records of JSON, CSV and Parquet: layouts, columns, ids."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from craft_ray.core.schema import Document
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
    assert found.reason == "bad_record"
    assert "--text-column" in found.detail
    reason, detail = refused("id,prose\na,mice\n", "x.csv")
    assert (reason, detail) == (
        "bad_record",
        "after 0 documents: no text among the columns id, prose; --text-column names those with text",
    )
    (found,) = read('{"id": "a", "text": "mice"}\n', "x.jsonl", text_column=("prose",))
    assert "`prose`" in found.detail


TITLED = {"title": "Pax6", "abstract": "Of mice."}
QA = {"QUESTION": "Pax6?", "CONTEXTS": ["Mice ran.", "They saw."], "YEAR": "2020", "LONG_ANSWER": "Yes."}
CORD = {
    "paper_id": "PMC8",
    "metadata": {"title": "Pax6", "authors": [{"first": "A"}]},
    "abstract": [{"text": "Of mice.", "section": "Abstract"}],
    "body_text": [{"text": "Mice ran.", "section": "Methods"}, {"text": "Fast.", "section": ""}],
}
CORD_SECTIONS = [
    ("title", "Pax6"),
    ("abstract/Abstract", "Of mice."),
    ("body_text/Methods", "Mice ran."),
    ("body_text", "Fast."),
]
EUROPE_PMC = {
    "id": "7",
    "source": "MED",
    "pmid": "7",
    "title": "Pax6",
    "journalInfo": {"journal": {"title": "Cell"}},
    "pubYear": "2020",
    "abstractText": "<h4>Background:</h4>Eyes of <i>mice</i> &amp; men. <h4>Methods</h4> We ran; P<.05.",
}
EUROPE_PMC_SECTIONS = [
    ("title", "Pax6"),
    ("abstractText/Background", "Eyes of mice & men."),
    ("abstractText/Methods", "We ran; P<.05."),
]


@pytest.mark.parametrize(
    ("record", "doc_id", "expected"),
    [
        ({"doc_id": 4983, "abstract": ["Mice ran.", "Fast."]}, "4983", [("abstract", "Mice ran.\nFast.")]),
        (CORD, "PMCID:PMC8", CORD_SECTIONS),
        ({"paper_id": "9", "title": "Pax6", "pdf_parse": CORD | {"paper_id": "x"}}, "9", CORD_SECTIONS),
        ({"corpusid": 9, "content": {"source": {}, "text": "Mice ran."}}, "9", [("content", "Mice ran.")]),
        (
            {"pubid": 7, "context": {"contexts": ["Mice", "ran."], "labels": ["A"]}},
            "PMID:7",
            [("context", "Mice\nran.")],
        ),
        (
            {"id": "a", "sections": [{"heading": "Methods", "paragraphs": ["Mice", "ran."]}]},
            "a",
            [("sections/Methods", "Mice\nran.")],
        ),
        ({"id": 9, "data": {"text": "Mice"}, "annotations": [{"text": "x"}]}, "9", [("text", "Mice")]),
        ({"_id": "9", "_source": TITLED}, "9", [("title", "Pax6"), ("abstract", "Of mice.")]),
        (EUROPE_PMC, "PMID:7", EUROPE_PMC_SECTIONS),
        ({"doi": "10.1/X", "title": "Pax6"}, "DOI:10.1/x", [("title", "Pax6")]),
        ({"id": "PPR7", "title": "Pax6", "journalTitle": "Cell"}, "PPR7", [("title", "Pax6")]),
        (
            {"id": "a", "passages": [{"id": "b", "type": "abstract", "text": ["Mice ran."], "offsets": [[0, 9]]}]},
            "a",
            [("passages/abstract", "Mice ran.")],
        ),
        (
            {"id": "a", "sentences": [["Mice", "ran", "."], ["Pax6", "slept"]]},
            "a",
            [("sentences", "Mice ran .\nPax6 slept")],
        ),
        ({"id": "a", "words": ["documents", "passages"], "text": "Mice ran."}, "a", [("text", "Mice ran.")]),
    ],
)
def test_lists_and_objects_of_text(record, doc_id, expected):
    found = only(json.dumps(record), "x.json")
    assert (found.doc_id, sections(found)) == (doc_id, expected)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ({"request": {"id": 5}, "resultList": {"result": [EUROPE_PMC, TITLED]}}, ["PMID:7", "x.json#2"]),
        ([{"resultList": {"result": [EUROPE_PMC]}}, {"resultList": {"result": [TITLED]}}], ["PMID:7", "x.json#2"]),
        ({"articles": [TITLED | {"pmid": "7"}, TITLED | {"pmid": "8"}]}, ["PMID:7", "PMID:8"]),
        ({"hits": {"total": 1, "hits": [{"_id": "9", "_source": TITLED}]}}, ["9"]),
        ({"21645374": QA, "16418930": QA}, ["21645374", "16418930"]),
        ([TITLED, CORD], ["x.json#1", "PMCID:PMC8"]),
        (CORD, ["PMCID:PMC8"]),
    ],
)
def test_records_within_other_json(content, ids: list[str], indent: int | None):
    found = read(json.dumps(content, indent=indent), "x.json")
    assert [item.doc_id for item in found] == ids
    assert all(isinstance(item, Document) for item in found)


def test_an_object_with_an_id_is_the_record():
    lines = [{"id": "a", "sentences_of_it": [{"text": "Pax6"}]}, {"id": "b", "sentences_of_it": [{"text": "mice"}]}]
    for content in (json.dumps(lines[0]), json.dumps(lines[0], indent=1), "\n".join(map(json.dumps, lines))):
        assert {getattr(item, "reason", "") for item in read(content, "x.json")} == {"bad_record"}


def test_journal_within_an_object():
    found = only(json.dumps(EUROPE_PMC), "x.json")
    assert (found.title, found.year, found.journal) == ("Pax6", 2020, "Cell")


@pytest.mark.parametrize(
    "content",
    [
        b'{"id": 1, "text": "Pax6", "n": 18446744073709551616}\n{"id": 2, "text": "mice", "n": NaN}',
        b'\xef\xbb\xbf[\n{"id": 1, "text": "Pax6", "n": 18446744073709551616},\n{"id": 2, "text": "mice", "n": NaN}\n]',
        b'\xef\xbb\xbf[{"id": 1, "text": "Pax6"}, {"id": 2, "text": "mice"}]',
    ],
)
def test_large_numbers_nan_and_byte_order_marks(content: bytes):
    assert [item.doc_id for item in read(content, "x.json")] == ["1", "2"]


def test_a_bad_object_is_rejected_alone():
    bad, good = read('[\n{"id": 1, "text": "a\\x"},\n{"id": 2, "text": "b"}]', "x.json")
    assert (bad.doc_id, bad.reason, good.doc_id) == ("x.json#1", "bad_json", "2")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_delimiters(delimiter: str, name: str):
    found = only('id, Text ,note\na,"Pax6, mice; men|\t",x\n'.replace(",", delimiter), name)
    assert (found.doc_id, sections(found)) == ("a", [("Text", "Pax6, mice; men|\t".replace(",", delimiter))])


def test_columns_of_one_name_are_all_kept():
    found = only("id,text,note,note,note.1\na,Pax6,1,2,3\n", "x.csv")
    assert found.metadata == {"note": "1", "note.1": "2", "note.1.1": "3"}


@pytest.mark.parametrize(
    ("record", "year", "journal", "metadata"),
    [
        ({"year": "2020", "journal": "Cell"}, 2020, "Cell", {}),
        ({"year": 2020.0, "Journal/Book": "Cell"}, 2020, "Cell", {}),
        ({"Publication Year": " 2020", "journal": None}, 2020, None, {"journal": None}),
        ({"publish_time": "2020-03-01"}, 2020, None, {"publish_time": "2020-03-01"}),
        ({"year": "unknown", "date": "2020/3"}, 2020, None, {"year": "unknown", "date": "2020/3"}),
        ({"year": 20201, "journal": ["Cell"]}, None, None, {"year": 20201, "journal": ["Cell"]}),
    ],
)
def test_year_and_journal(record, year, journal, metadata):
    found = only(json.dumps({"id": "a", "text": "x"} | record), "x.jsonl")
    assert (found.year, found.journal, found.metadata) == (year, journal, metadata)


def test_other_encodings_are_named_with_advice():
    good, bad = read("id,text\n1,mice\n2,Müller\n".encode("latin-1"), "x.csv")
    assert (good.doc_id, bad.doc_id, bad.reason) == ("1", "x.csv#2", "bad_encoding")
    assert "iconv -f WINDOWS-1252" in bad.detail
    for name in ("x.csv", "x.txt", "x.jsonl"):
        reason, detail = refused("id,text\n1,mice\n".encode("utf-16"), name)
        assert (reason, "iconv -f UTF-16" in detail) == ("bad_encoding", True)


@pytest.mark.parametrize("prefix", ["shard", "trial-"])
def test_no_id_takes_the_place_of_another_files(prefix: str):
    theirs = "p/x.jsonl#1"
    (forged,) = read(f'{{"id": "{theirs}", "text": "a"}}\n', "p/x.json", id_prefix=prefix, format="jsonl")
    assert forged.doc_id == f"{'p/x.json#' if prefix == 'shard' else prefix}{theirs}"


def test_a_list_of_deletions_names_ids_as_they_are():
    assert [item.doc_id for item in read("a\n7\n", "p/gone", id_prefix="shard", format="deletions")] == ["a", "PMID:7"]
    assert [item.doc_id for item in read("7\n", "p/x.pmids", id_prefix="shard")] == ["p/x.pmids#PMID:7"]


def test_id_prefix():
    lines = '{"id": 1, "text": "Pax6"}\n{"text": "no id"}\n'
    assert [item.doc_id for item in read(lines, "p/x.jsonl", id_prefix="shard")] == ["p/x.jsonl#1", "p/x.jsonl#2"]
    assert [item.doc_id for item in read(lines, "p/x.jsonl", id_prefix="trial-")] == ["trial-1", "p/x.jsonl#2"]
