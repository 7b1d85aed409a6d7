"""JSON lines, CSV, and what holds for all formats."""

import csv
import io
import json
from dataclasses import replace

import pytest
from hypothesis import given

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Section
from craft_ray.export.formats import EXPORTERS, format_named
from craft_ray.export.formats.record import Record
from tests.support.exports import (
    ASTRAL,
    COLLECTION,
    GROUNDED,
    document,
    documents,
    exported,
    read,
    spans,
    unpacked,
)


@given(documents(), documents())
def test_jsonl(first: Record, second: Record):
    content, _ = exported("jsonl", first, second)
    for record, found in zip((first, second), read(content, "part-00000.jsonl"), strict=True):
        for name in ("doc_id", "text", "title", "year", "journal"):
            assert getattr(found, name) == getattr(record, name)
        assert [Section(**section) for section in found.metadata["sections"]] == list(record.sections)
        assert [(e["start"], e["end"], e["label"]) for e in found.metadata["entities"]] == spans(record)
        assert all(found.text[e["start"] : e["end"]] == e["mention"] for e in found.metadata["entities"])


@given(documents(), documents())
def test_csv(first: Record, second: Record):
    content, _ = exported("csv", first, second)
    assert content.endswith(b"\r\n")
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    entities = [*first.entities, *second.entities]
    assert [
        (row["doc_id"], int(row["start"]), int(row["end"]), row["label"], row["mention"], float(row["score"]))
        for row in rows
    ] == [("PMID:7", e.start, e.end, e.label, e.mention, 0.9) for e in entities]


@pytest.mark.parametrize("format", list(EXPORTERS))
def test_unicode(format: str):
    content, _ = exported(format, ASTRAL)
    assert "α".encode() in content
    assert "𝛽".encode() in content


@pytest.mark.parametrize("format", list(EXPORTERS))
def test_part_without_documents(format: str):
    content, _ = exported(format)
    if format == "bioc-xml":
        with pytest.raises(ShardError, match="no_documents"):
            read(content, "x.xml")
    elif format == "bioc-json":
        assert json.loads(content)["documents"] == []
    elif format == "brat":
        assert sorted(unpacked(content)) == ["part-00000/annotation.conf", "part-00000/documents.tsv"]
    else:
        assert content.count(b"\n") == (format == "csv")


def test_concepts_in_line_formats():
    lines = [line.split("\t") for line in exported("pubtator", GROUNDED)[0].decode().splitlines() if "\t" in line]
    assert [line[5] for line in lines] == ["NCBITaxon:10090", "-"]
    lines = unpacked(exported("brat", GROUNDED)[0])["part-00000/PMID_1.ann"].decode().splitlines()
    assert [line for line in lines if line.startswith("N")] == ["N1\tReference T1 NCBITaxon:10090\tMus musculus"]
    mouse, rat = csv.DictReader(io.StringIO(exported("csv", GROUNDED)[0].decode(), newline=""))
    assert (mouse["concept_id"], mouse["concept_match"], rat["concept_id"]) == ("NCBITaxon:10090", "synonym", "")
    assert (mouse["gene_id"], rat["gene_id"]) == ("NCBIGene:18508", "")
    mouse, rat = json.loads(exported("jsonl", GROUNDED)[0])["entities"]
    assert (mouse["concept_id"], mouse["concept_score"], rat["concept_id"]) == ("NCBITaxon:10090", 0.98, None)
    assert (mouse["gene_id"], rat["gene_id"]) == ("NCBIGene:18508", None)


FORMULAS = ["=1+1", "+a", "-a", "@a", "\ta", "\ra"]


def test_excel_safe_csv_has_no_formulas():
    text = "\x0b".join([*FORMULAS, "Pax6-/-"])
    spans = [(text.index(mention), text.index(mention) + len(mention), "Protein") for mention in [*FORMULAS, "Pax6-/-"]]
    found = {}
    for safe in (False, True):
        exporter = format_named("csv").make(replace(COLLECTION, excel_safe=safe))
        content = exporter.begin() + exporter.add(document("=id", [("@text", text)], spans)).content
        found[safe] = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["mention"] for row in found[False]] == [*FORMULAS, "Pax6-/-"]
    assert [row["mention"] for row in found[True]] == [*(f"'{mention}" for mention in FORMULAS), "Pax6-/-"]
    assert {(row["doc_id"], row["section"], row["score"]) for row in found[True]} == {("'=id", "'@text", "0.9")}
