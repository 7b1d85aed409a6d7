"""Sentence spans: nothing lost, no mention cut, agreement with CRAFT-IOB's sentences."""

import re
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.sentences import MAX_BLOCK, sentence_spans
from craft_ray.training.iob import read_iob


@given(st.text(alphabet=st.sampled_from("aB.é\U0001f9ec \n\t?)"), max_size=300))
def test_spans_are_in_order_and_hold_all_that_is_not_white_space(text):
    end = 0
    for start, stop in sentence_spans(text):
        assert text[end:start].strip() == ""
        assert start < stop
        assert text[start:stop] == text[start:stop].strip()
        end = stop
    assert text[end:].strip() == ""


def test_a_text_without_any_break_is_cut_into_blocks_and_kept_whole():
    text = "x" * (3 * MAX_BLOCK + 5)
    assert "".join(text[a:b] for a, b in sentence_spans(text)) == text


def test_abbreviations_do_not_end_a_sentence():
    text = "Cells (ca. 50) were kept, e.g. in Fig. 2, by Smith et al. They grew."
    assert [text[a:b] for a, b in sentence_spans(text)] == [text[:57], "They grew."]


def test_no_gold_mention_of_craft_is_cut(data: Path):
    cut = mentions = 0
    for file in sorted((data / "craft" / "txt").glob("*.txt")):
        text = file.read_text(encoding="utf-8")
        starts = sorted(start for start, _ in sentence_spans(text))
        for standoff in (data / "craft" / "standoff").glob(f"*/{file.stem}.xml"):
            for span in ElementTree.parse(standoff).iter("span"):
                mentions += 1
                first, last = int(span.get("start", "")), int(span.get("end", ""))
                cut += any(first < start < last for start in starts)
    assert mentions > 46_000
    assert cut == 0


def test_spans_agree_with_the_sentences_of_craft_iob(data: Path):
    """CRAFT-IOB's sentences are a machine splitter's (precision 0.985 against the treebank's manual ones)."""
    ours = set()
    texts = []
    for file in sorted((data / "craft" / "txt").glob("*.txt")):
        text = file.read_text(encoding="utf-8")
        texts.append(re.sub(r"\s", "", text))
        ours |= {re.sub(r"\s", "", text[a:b]) for a, b in sentence_spans(text)}
    whole = "\n".join(texts)
    theirs = ["".join(sentence.words) for sentence in read_iob(data / "craft-iob" / "train.tsv")]
    comparable = [sentence for sentence in theirs if len(sentence) > 40 and sentence in whole]
    agreed = sum(sentence in ours for sentence in comparable)
    assert len(comparable) > 5_000
    assert agreed / len(comparable) >= 0.96
