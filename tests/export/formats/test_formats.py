"""JSON lines, CSV, and what holds for all formats."""

import csv
import gzip
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Entity, Section
from craft_ray.export.formats import EXPORTERS, format_named
from craft_ray.export.formats.brat import file_name
from craft_ray.export.formats.record import Record
from craft_ray.training.iob import read_iob
from tests.support.exports import (
    ASTRAL,
    BREAKS,
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
        assert (found.doc_id, found.text, found.title, found.year) == (
            record.doc_id,
            record.text,
            record.title,
            record.year,
        )
        assert found.journal == record.journal
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


@pytest.fixture(scope="module")
def articles(data: Path) -> list[Record]:
    """Real articles in which each word with a Greek letter or a digit is an entity."""
    annotated_documents = []
    for path in [*sorted((data / "jats").glob("*.nxml")), *sorted((data / "craft" / "jats").glob("*.nxml"))[:8]]:
        (found,) = read(path.read_bytes(), path.name)
        entities = tuple(
            Entity("Protein", *match.span(), match.group(), 0.75, section.name, "PR", section.start, section.end)
            for section in found.sections
            for match in re.compile(r"\w*[α-ω0-9]\w*").finditer(found.text, section.start, section.end)
        )
        annotated_documents.append(
            Record(found.doc_id, found.text, found.sections, found.title, found.year, found.journal, entities)
        )
    assert sum(len(record.entities) for record in annotated_documents) > 1000
    assert any("α" in record.text for record in annotated_documents)
    return annotated_documents


@pytest.mark.parametrize("format", ["bioc-xml", "bioc-json", "jsonl"])
def test_articles_keep_text_and_sections(articles: list[Record], format: str):
    content, written = exported(format, *articles)
    assert not any(w.altered for w in written)
    for record, found in zip(articles, read(content, f"part-00000{format_named(format).suffix}"), strict=True):
        assert (found.doc_id, found.text, found.year) == (record.doc_id, record.text, record.year)
        if format != "jsonl":
            names = [(section.name.lower(), section.start, section.end) for section in record.sections]
            assert [(section.name, section.start, section.end) for section in found.sections] == names


def test_articles_read_by_the_bioc_library(articles: list[Record]):
    from bioc import biocjson, biocxml

    for format, reader in (("bioc-xml", biocxml), ("bioc-json", biocjson)):
        oracle = reader.loads(exported(format, *articles)[0].decode())
        for record, found in zip(articles, oracle.documents, strict=True):
            annotations = [a for passage in found.passages for a in passage.annotations]
            assert [(a.total_span.offset, a.total_span.end, a.text) for a in annotations] == [
                (entity.start, entity.end, entity.mention) for entity in record.entities
            ]


def test_articles_as_pubtator_brat_and_conll(articles: list[Record], tmp_path: Path):
    pubtator = read(exported("pubtator", *articles)[0], "part-00000.pubtator")
    brat = unpacked(exported("brat", *articles)[0])
    content, written = exported("conll", *articles)
    for record, found in zip(articles, pubtator, strict=True):
        first = record.sections[0].end
        assert found.text == record.text[: first + 1] + BREAKS.sub(" ", record.text[first + 1 :])
        assert brat[f"part-00000/{file_name(record.doc_id)}.txt"] == record.text.encode()
        lines = brat[f"part-00000/{file_name(record.doc_id)}.ann"].decode().split("\n")
        places = [line.split("\t")[1].split()[1:] for line in lines if line.startswith("T")]
        assert [(int(start), int(end)) for start, end in places] == [(e.start, e.end) for e in record.entities]
    (tmp_path / "articles.conll.gz").write_bytes(gzip.compress(content))
    sentences = read_iob(tmp_path / "articles.conll.gz")
    labels = [mention.label for sentence in sentences for mention in sentence.mentions]
    assert labels.count("Protein") >= sum(w.entities for w in written) > 1000


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
