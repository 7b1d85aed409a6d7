"""Words, pieces and windows: every word is read once, with context, whatever the length."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from craft_ray.checkpoint import EMBEDDED_FOLDER
from craft_ray.windows import make_windows

TOKENIZER = Tokenizer.from_file(str(EMBEDDED_FOLDER / "tokenizer.json"))
TOKENIZER.no_truncation()
TOKENIZER.no_padding()
words = st.text(alphabet=st.sampled_from("abcPax6-éβ\U0001f9ec中"), min_size=1, max_size=8)


@given(st.lists(st.lists(words, max_size=60).map(" ".join), max_size=5), st.integers(16, 40))
def test_each_word_is_read_at_its_own_first_piece_in_a_window_that_fits(sentences, limit):
    windows = make_windows(TOKENIZER, sentences, limit)
    whole = make_windows(TOKENIZER, sentences, 10_000)
    assert windows.window_length.sum() == len(windows.token_ids)
    assert (windows.window_length <= limit).all()
    for name in ("word_start", "word_end", "word_sentence", "word_index"):
        assert np.array_equal(getattr(windows, name), getattr(whole, name))
    assert np.array_equal(windows.token_ids[windows.word_piece], whole.token_ids[whole.word_piece])


def test_a_word_in_a_long_sentence_has_context_on_both_sides():
    limit = 64
    windows = make_windows(TOKENIZER, [" ".join(["mouse"] * 500)], limit)
    window_to = np.cumsum(windows.window_length)
    window = np.searchsorted(window_to, windows.word_piece, side="right")
    before = windows.word_piece - (window_to - windows.window_length)[window]
    after = window_to[window] - windows.word_piece - 1
    inner = slice(8, -8)
    assert before[inner].min() >= limit // 8
    assert after[inner].min() >= limit // 8 - 1


def test_words_are_split_at_punctuation_as_craft_iob_splits_them():
    windows = make_windows(TOKENIZER, ["Ca2+-dependent (Pax6)."], 64)
    found = [("Ca2+-dependent (Pax6)."[a:b]) for a, b in zip(windows.word_start, windows.word_end, strict=True)]
    assert found == ["Ca2", "+", "-", "dependent", "(", "Pax6", ")", "."]


def test_offsets_count_code_points():
    text = "\U0001f9ec β-catenin"
    windows = make_windows(TOKENIZER, [text], 64)
    assert [text[a:b] for a, b in zip(windows.word_start, windows.word_end, strict=True)][1:] == ["β", "-", "catenin"]


@pytest.mark.parametrize("sentences", [[], [""], ["\x00\x01"]])
def test_nothing_gives_no_windows(sentences):
    windows = make_windows(TOKENIZER, sentences, 16)
    assert len(windows.token_ids) == len(windows.window_length) == len(windows.word_piece) == 0


def test_words_given_as_words_keep_their_numbers():
    windows = make_windows(TOKENIZER, [["Pax6", "in", "mice"], ["ok"]], 16)
    assert windows.word_sentence.tolist() == [0, 0, 0, 1]
    assert windows.word_index.tolist() == [0, 1, 2, 0]


def test_the_embedded_tokenizer_lower_cases():
    assert json.loads(TOKENIZER.to_str())["normalizer"]["lowercase"] is True
