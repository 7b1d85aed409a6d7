"""BioC and PubTator: sentences, passages that touch, and full text by paragraphs."""

import json

import pytest

from craft_ray.core.schema import Document
from tests.support.reading import only, read, sections

SENTENCES = [{"offset": 0, "text": "Pax6 acts."}, {"offset": 12, "text": "Mice see."}]


@pytest.mark.parametrize("text", [{"text": ""}, {}])
def test_sentences_of_bioc_json_stand_at_their_offsets(text: dict[str, str]):
    passages = [{"offset": 0, "infons": {"type": "abstract"}, "sentences": SENTENCES, **text}]
    found = only(json.dumps({"documents": [{"id": "7", "passages": passages}]}), "x.json")
    assert found.text == "Pax6 acts.  Mice see."


def test_sentences_of_bioc_xml_stand_at_their_offsets():
    inner = "".join(
        f"<sentence><offset>{s['offset'] + 100}</offset><text>{s['text']}</text></sentence>" for s in SENTENCES
    )
    content = f"<collection><document><id>7</id><passage><offset>100</offset>{inner}</passage></document></collection>"
    assert only(content, "x.xml").text == " " * 100 + "Pax6 acts.  Mice see."


def test_passages_that_touch_keep_their_offsets_and_their_words():
    passages = [{"offset": 0, "text": "Pax6\n"}, {"offset": 5, "text": "Mice"}, {"offset": 9, "text": "run"}]
    found = only(json.dumps({"documents": [{"id": "7", "passages": passages}]}), "x.json")
    assert found.text == "Pax6\nMicerun"
    assert sections(found) == [("passage", "Pax6\nMice"), ("passage", "run")]


@pytest.mark.parametrize("around", ['{"PubTator3": [%s]}', "%s\n", "[%s]"])
def test_bioc_documents_are_found_in_what_pubtators_service_sends(around: str):
    document = json.dumps({"_id": "7|None", "id": "7", "passages": [{"offset": 0, "text": "Pax6"}]}, indent=1)
    found = only(around % document, "x.json")
    assert (found.doc_id, found.text) == ("7", "Pax6")


def test_full_text_of_pubtator_is_one_document():
    content = "7|t|Pax6\n7|a|Of mice.\n7|t|Methods\n7|a|\n7|a|We ran.\n7\t0\t4\tPax6\tGene\t5080\n\n8|t|\n8|a|Next\n"
    first, second = read(content, "x.pubtator")
    assert sections(first) == [("title", "Pax6"), ("abstract", "Of mice."), ("body", "Methods\n We ran.")]
    assert (second.doc_id, sections(second)) == ("PMID:8", [("abstract", "Next")])
    assert isinstance(second, Document)
    assert second.text.index("Next") == 1  # as the format counts
