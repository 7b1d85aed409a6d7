"""PubTator."""

import re
from dataclasses import replace

import pytest
from hypothesis import given

from craft_ray.export.formats.record import Record, Unrepresentable
from tests.support.exports import ASTRAL, BREAKS, document, documents, exported, read, spans


@given(documents())
def test_pubtator(record: Record):
    content, (written,) = exported("pubtator", record)
    title_end = record.sections[0].end
    text = BREAKS.sub(" ", record.text[:title_end]) + record.text[title_end : title_end + 1]
    text += BREAKS.sub(" ", record.text[title_end + 1 :])
    assert (written.entities, written.altered) == (len(record.entities), text != record.text)
    (found,) = read(content, "part-00000.pubtator")
    assert (found.doc_id, found.text) == ("PMID:7", text)
    lines = [line.split("\t") for line in content.decode().split("\n") if re.match(r"7\t\d+\t\d+\t", line)]
    assert [(int(line[1]), int(line[2]), line[4]) for line in lines] == spans(record)
    assert all(line[3] == BREAKS.sub(" ", text[int(line[1]) : int(line[2])].replace("\t", " ")) for line in lines)


def test_bioc_library_reads_pubtator():
    from bioc import pubtator

    content, _ = exported("pubtator", ASTRAL, replace(ASTRAL, doc_id="PMCID:PMC2"))
    first, second = pubtator.loads(content.decode())
    assert (first.pmid, first.title, second.pmid) == ("1", "TNF-α and 𝛽-actin", "PMCID:PMC2")
    assert first.abstract == "In mice 𝒳 <Pax6> & TNF-α naïve,  mouse \x07bell.\tEnd"
    whole = f"{first.title}\n{first.abstract}"
    assert [(a.start, a.end, a.type) for a in first.annotations] == spans(ASTRAL)
    assert all(whole[a.start : a.end] == a.text for a in first.annotations)


def test_pubtator_without_a_title():
    record = replace(document("x", [("text", "One line\nand more")], [(9, 12, "Taxon")]), title=None)
    assert exported("pubtator", record)[0] == b"x|t|One line\nx|a|and more\nx\t9\t12\tand\tTaxon\t-\n\n"
    alone = document("x", [("text", "One line")], [(0, 3, "Taxon")])
    assert exported("pubtator", alone)[0] == b"x|t|One line\nx|a|\nx\t0\t3\tOne\tTaxon\t-\n\n"


@pytest.mark.parametrize("doc_id", ["a|b", "a\tb", "a\u2028b"])
def test_pubtator_ids_with_separators(doc_id: str):
    with pytest.raises(Unrepresentable, match="its id holds"):
        exported("pubtator", replace(ASTRAL, doc_id=doc_id))
