"""Sentence boundaries."""

from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.sentences import MAX_BLOCK, sentence_spans


@given(st.text(alphabet=st.sampled_from("aB.é\U0001f9ec \n\t?)"), max_size=300))
def test_only_white_space_lies_outside(text):
    end = 0
    for start, stop in sentence_spans(text):
        assert text[end:start].strip() == ""
        assert start < stop
        assert text[start:stop] == text[start:stop].strip()
        end = stop
    assert text[end:].strip() == ""


def test_long_text_without_a_break():
    text = "x" * (3 * MAX_BLOCK + 5)
    assert "".join(text[a:b] for a, b in sentence_spans(text)) == text


def test_abbreviations_end_no_sentence():
    text = "Cells (ca. 50) were kept, e.g. in Fig. 2, by Smith et al. They grew."
    assert [text[a:b] for a, b in sentence_spans(text)] == [text[:57], "They grew."]


def test_no_mention_of_the_six_labels_is_split(data: Path):
    split = mentions = 0
    for file in (data / "craft" / "txt").glob("*.txt"):
        starts = [start for start, _ in sentence_spans(file.read_text(encoding="utf-8"))]
        for ontology in ("CHEBI", "CL", "GO_CC", "NCBITaxon", "PR", "SO"):
            standoff = data / "craft" / "standoff" / ontology / f"{file.stem}.xml"
            for span in ElementTree.parse(standoff).iter("span"):
                mentions += 1
                first, last = int(span.get("start", "")), int(span.get("end", ""))
                split += any(first < start < last for start in starts)
    assert mentions > 46_000
    assert split == 0
