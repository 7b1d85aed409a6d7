"""BioC in XML and JSON."""

import pytest
from hypothesis import given

from craft_ray.export.formats.record import Record
from tests.support.exports import GROUNDED, NO_XML, documents, exported, read, spans


@given(documents())
def test_bioc_xml(record: Record):
    from bioc import biocxml

    content, (written,) = exported("bioc-xml", record)
    text = NO_XML.sub("\N{REPLACEMENT CHARACTER}", record.text)
    assert (written.entities, written.altered) == (len(record.entities), text != record.text)
    (found,) = read(content, "part-00000.xml")
    assert (found.doc_id, found.text, found.year, found.journal) == ("PMID:7", text, 2026, "A journal")
    assert found.sections == record.sections
    (oracle,) = biocxml.loads(content.decode()).documents
    assert_bioc(oracle, record, text)


@given(documents())
def test_bioc_json(record: Record):
    from bioc import biocjson

    content, (written,) = exported("bioc-json", record)
    assert (written.entities, written.altered) == (len(record.entities), False)
    (found,) = read(content, "part-00000.json")
    assert (found.doc_id, found.text, found.sections) == ("PMID:7", record.text, record.sections)
    (oracle,) = biocjson.loads(content.decode()).documents
    assert_bioc(oracle, record, record.text)


def assert_bioc(oracle, record: Record, text: str) -> None:
    for passage, section in zip(oracle.passages, record.sections, strict=True):
        assert (passage.infons["type"], passage.offset) == (section.name, section.start)
        assert passage.text == text[section.start : section.end]
    annotations = [annotation for passage in oracle.passages for annotation in passage.annotations]
    found = [(a.total_span.offset, a.total_span.end, a.infons["type"], a.text) for a in annotations]
    assert found == [(start, end, label, text[start:end]) for start, end, label in spans(record)]
    assert all((a.infons["score"], a.infons["ontology"]) == ("0.9", "PR") for a in annotations)


@pytest.mark.parametrize("format", ["bioc-xml", "bioc-json"])
def test_concepts_in_bioc(format: str):
    from bioc import biocjson, biocxml

    content = exported(format, GROUNDED)[0].decode()
    (document,) = (biocxml if format == "bioc-xml" else biocjson).loads(content).documents
    mouse, rat = document.passages[0].annotations
    assert (mouse.infons["identifier"], mouse.infons["concept_score"]) == ("NCBITaxon:10090", "0.98")
    assert mouse.infons["gene_id"] == "NCBIGene:18508"
    assert not {"identifier", "gene_id"} & rat.infons.keys()
