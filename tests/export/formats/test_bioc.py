"""BioC in XML and JSON."""

import pytest
from bioc import biocjson, biocxml
from hypothesis import given

from craft_ray.export.formats import format_named
from craft_ray.export.formats.record import Record
from tests.support.exports import GROUNDED, NO_XML, documents, exported, read, spans

LIBRARY = {"bioc-xml": biocxml, "bioc-json": biocjson}


@pytest.mark.parametrize("format", LIBRARY)
@given(record=documents())
def test_bioc(format: str, record: Record):
    content, (written,) = exported(format, record)
    text = NO_XML.sub("\N{REPLACEMENT CHARACTER}", record.text) if format == "bioc-xml" else record.text
    assert (written.entities, written.altered) == (len(record.entities), text != record.text)
    (found,) = read(content, f"part-00000{format_named(format).suffix}")
    assert (found.doc_id, found.text, found.year, found.journal) == ("PMID:7", text, 2026, "A journal")
    assert found.sections == record.sections
    (oracle,) = LIBRARY[format].loads(content.decode()).documents
    for passage, section in zip(oracle.passages, record.sections, strict=True):
        assert (passage.infons["type"], passage.offset) == (section.name, section.start)
        assert passage.text == text[section.start : section.end]
    annotations = [annotation for passage in oracle.passages for annotation in passage.annotations]
    assert [(a.total_span.offset, a.total_span.end, a.infons["type"], a.text) for a in annotations] == [
        (start, end, label, text[start:end]) for start, end, label in spans(record)
    ]
    assert all((a.infons["score"], a.infons["ontology"]) == ("0.9", "PR") for a in annotations)


@pytest.mark.parametrize("format", LIBRARY)
def test_concepts_in_bioc(format: str):
    content = exported(format, GROUNDED)[0].decode()
    (document,) = LIBRARY[format].loads(content).documents
    mouse, rat = document.passages[0].annotations
    assert (mouse.infons["identifier"], mouse.infons["concept_score"]) == ("NCBITaxon:10090", "0.98")
    assert mouse.infons["gene_id"] == "NCBIGene:18508"
    assert not {"identifier", "gene_id"} & rat.infons.keys()
