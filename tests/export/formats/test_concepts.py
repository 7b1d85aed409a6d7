"""Each format carries the ids of concepts where it has a place for them."""

import csv
import io
import json
import tarfile

import pytest
from bioc import biocjson, biocxml

from craft_ray.core.schema import Entity, Section
from craft_ray.export.formats import format_named
from craft_ray.export.formats.record import Collection, Record

TEXT = "mouse and rat"
KNOWN = Entity(
    "Taxon", 0, 5, "mouse", 0.9, "title", "NCBITaxon", 0, 13, "NCBITaxon:10090", "Mus\tmusculus", 0.98, "synonym"
)
UNKNOWN = Entity("Taxon", 10, 13, "rat", 0.9, "title", "NCBITaxon", 0, 13)
RECORD = Record("PMID:1", TEXT, (Section("title", 0, 13),), entities=(KNOWN, UNKNOWN))


def written(format: str) -> bytes:
    exporter = format_named(format).make(Collection("part", "craft-ray", "2026-01-01", ("Taxon",)))
    return exporter.begin() + exporter.add(RECORD).content + exporter.end()


@pytest.mark.parametrize("format", ["bioc-xml", "bioc-json"])
def test_bioc_has_identifier_infons(format: str):
    content = written(format).decode()
    document = (biocxml if format == "bioc-xml" else biocjson).loads(content).documents[0]
    mouse, rat = document.passages[0].annotations
    assert mouse.infons["identifier"] == "NCBITaxon:10090"
    assert mouse.infons["concept_score"] == "0.98"
    assert "identifier" not in rat.infons


def test_pubtator_has_the_id_in_the_sixth_column():
    lines = [line.split("\t") for line in written("pubtator").decode().splitlines() if "\t" in line]
    assert [line[5] for line in lines] == ["NCBITaxon:10090", "-"]


def test_brat_has_a_normalization():
    with tarfile.open(fileobj=io.BytesIO(written("brat"))) as archive:
        member = archive.extractfile("part/PMID_1.ann")
        assert member is not None
        lines = member.read().decode().splitlines()
    assert [line for line in lines if line.startswith("N")] == ["N1\tReference T1 NCBITaxon:10090\tMus musculus"]


def test_csv_and_json_lines_have_columns():
    mouse, rat = csv.DictReader(io.StringIO(written("csv").decode(), newline=""))
    assert (mouse["concept_id"], mouse["concept_match"], rat["concept_id"]) == ("NCBITaxon:10090", "synonym", "")
    mouse, rat = json.loads(written("jsonl"))["entities"]
    assert (mouse["concept_id"], mouse["concept_score"], rat["concept_id"]) == ("NCBITaxon:10090", 0.98, None)
