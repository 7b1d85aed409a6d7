"""BioC and PubTator: offsets, sentences, adjacent passages, full text by paragraphs."""

import json

import pytest
from bioc import biocjson, biocxml

from tests.support.reading import only, read, sections

BIOC_XML = """<?xml version="1.0"?><collection><source>s</source><date/><key/><document><id>7</id>
<infon key="year">2020</infon>
<passage><infon key="type">title</infon><offset>0</offset><text>Pax6 in mice</text></passage>
<passage><infon key="section_type">ABSTRACT</infon><offset>20</offset><text>It matters.</text></passage>
</document></collection>"""

SENTENCES = [{"offset": 0, "text": "Pax6 acts."}, {"offset": 12, "text": "Mice see."}]


def test_passages_keep_their_offsets():
    document = only(BIOC_XML, "x.xml")
    assert (document.doc_id, document.title, document.year) == ("PMID:7", "Pax6 in mice", 2020)
    assert sections(document) == [("title", "Pax6 in mice"), ("abstract", "It matters.")]
    (oracle,) = biocxml.loads(BIOC_XML).documents
    for passage in oracle.passages:
        assert document.text[passage.offset : passage.offset + len(passage.text)] == passage.text


@pytest.mark.parametrize("around", ["%s", "[%s]"])
def test_json_equals_xml(around: str):
    assert read(around % biocjson.dumps(biocxml.loads(BIOC_XML)), "x.json") == read(BIOC_XML, "x.xml")


@pytest.mark.parametrize("text", [{"text": ""}, {}])
def test_sentences_of_json_keep_their_offsets(text: dict[str, str]):
    passages = [{"offset": 0, "infons": {"type": "abstract"}, "sentences": SENTENCES, **text}]
    found = only(json.dumps({"documents": [{"id": "7", "passages": passages}]}), "x.json")
    assert found.text == "Pax6 acts.  Mice see."


def test_sentences_of_xml_keep_their_offsets():
    inner = "".join(
        f"<sentence><offset>{s['offset'] + 100}</offset><text>{s['text']}</text></sentence>" for s in SENTENCES
    )
    content = f"<collection><document><id>7</id><passage><offset>100</offset>{inner}</passage></document></collection>"
    assert only(content, "x.xml").text == " " * 100 + "Pax6 acts.  Mice see."


def test_adjacent_passages_keep_their_offsets_and_words():
    passages = [{"offset": 0, "text": "Pax6\n"}, {"offset": 5, "text": "Mice"}, {"offset": 9, "text": "run"}]
    found = only(json.dumps({"documents": [{"id": "7", "passages": passages}]}), "x.json")
    assert found.text == "Pax6\nMicerun"
    assert sections(found) == [("passage", "Pax6\nMice"), ("passage", "run")]


@pytest.mark.parametrize("around", ['{"PubTator3": [%s]}', "%s\n", "[%s]"])
def test_layouts_of_pubtators_service(around: str):
    document = json.dumps({"_id": "7|None", "id": "7", "passages": [{"offset": 0, "text": "Pax6"}]}, indent=1)
    found = only(around % document, "x.json")
    assert (found.doc_id, found.text) == ("7", "Pax6")


def test_pubtator_keeps_offsets_of_abstracts_and_full_text():
    content = "7|t|Pax6\n7|a|Of mice.\n7|t|Methods\n7|a|\n7|a|We ran.\n7\t0\t4\tPax6\tGene\t5080\n\n8|t|\n8|a|Next\n"
    first, second = read(content, "x.pubtator")
    assert sections(first) == [("title", "Pax6"), ("abstract", "Of mice."), ("body", "Methods\n We ran.")]
    assert (second.doc_id, sections(second), getattr(second, "text", "")) == ("PMID:8", [("abstract", "Next")], " Next")


PARTS = [
    ("TITLE", "front", "Pax6"),
    ("TABLE", "table_caption", "Rates."),
    ("TABLE", "table", "Gene\tx\t" + "Pax6\t1\t" * 400),
    ("TABLE", "table_foot", "Of mice."),
    ("METHODS", "footnote", "A note."),
    ("ACK_FUND", "paragraph", "We thank."),
    ("COMP_INT", "paragraph", "None."),
    ("METHODS", "paragraph", "Mice ran."),
    ("REF", "ref", "BRCA1 in men"),
]


def bioc_of_parts() -> str:
    passages, offset = [], 0
    for section, kind, text in PARTS:
        passages.append({"offset": offset, "infons": {"section_type": section, "type": kind}, "text": text})
        offset += len(text) + 1
    return json.dumps({"documents": [{"id": "7", "passages": passages}]})


def test_optional_parts_are_left_out_and_counted_and_the_others_keep_their_offsets():
    found = only(bioc_of_parts(), "x.json")
    assert sections(found) == [("title", "Pax6"), ("table", "Rates."), ("table", "Of mice."), ("methods", "Mice ran.")]
    left_out = {"tables": 802, "footnotes": 2, "acknowledgements": 2, "back": 1, "references": 3}
    assert found.metadata["words_left_out"] == left_out
    everything = only(bioc_of_parts(), "x.json", include=tuple(left_out))
    assert "words_left_out" not in everything.metadata
    assert everything.text == "\n".join(text for _, _, text in PARTS)
    assert all(everything.text[s.start : s.end] == found.text[s.start : s.end] for s in found.sections)
