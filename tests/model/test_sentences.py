"""Sentence boundaries."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.sentences import MAX_BLOCK, sentence_spans
from craft_ray.training.iob import read_iob


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


@pytest.fixture(scope="module")
def articles(data: Path) -> dict[str, tuple[str, list[tuple[int, int]]]]:
    """Text and sentences of CRAFT's articles by name."""
    texts = {file.stem: file.read_text(encoding="utf-8") for file in (data / "craft" / "txt").glob("*.txt")}
    return {name: (text, list(sentence_spans(text))) for name, text in texts.items()}


def test_no_mention_of_the_six_labels_is_split(data: Path, articles):
    split = mentions = 0
    for name, (_, spans) in articles.items():
        for ontology in ("CHEBI", "CL", "GO_CC", "NCBITaxon", "PR", "SO"):
            standoff = data / "craft" / "standoff" / ontology / f"{name}.xml"
            for span in ElementTree.parse(standoff).iter("span"):
                mentions += 1
                first, last = int(span.get("start", "")), int(span.get("end", ""))
                split += any(first < start < last for start, _ in spans)
    assert mentions > 46_000
    assert split == 0


def test_agreement_with_craft_iob(data: Path, articles):
    """CRAFT-IOB's sentences were split by a machine (precision 0.985 against the treebank)."""
    ours = {re.sub(r"\s", "", text[a:b]) for text, spans in articles.values() for a, b in spans}
    whole = "\n".join(re.sub(r"\s", "", text) for text, _ in articles.values())
    theirs = [sentence.text.replace(" ", "") for sentence in read_iob(data / "craft-iob" / "train.tsv")]
    comparable = [sentence for sentence in theirs if len(sentence) > 40 and sentence in whole]
    assert len(comparable) > 5_000
    assert sum(sentence in ours for sentence in comparable) / len(comparable) >= 0.96
