"""Words, pieces and windows: every word is read once, with context, whatever the length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.windows import Subwords, join_pieces, make_windows, tokenize_sentences
from tests.support.models import TOKENIZER

words = st.text(alphabet=st.sampled_from("abcPax6-éβ\U0001f9ec中"), min_size=1, max_size=8)


@given(
    st.lists(st.lists(words, max_size=60).map(" ".join), max_size=8), st.integers(16, 40), st.integers(0, 40), st.data()
)
def test_each_word_is_read_at_its_own_first_piece_in_a_window_that_fits(sentences, limit, size, data):
    pieces = tokenize_sentences(TOKENIZER, sentences)
    document = np.sort(data.draw(st.lists(st.integers(0, 3), min_size=len(sentences), max_size=len(sentences))))
    windows = make_windows(pieces, limit, size, document)
    assert windows.window_length.sum() == len(windows.token_ids)
    assert (windows.window_length <= limit).all()
    assert np.array_equal(windows.token_ids[windows.word_piece], pieces.token_ids[pieces.word_piece])
    window_of_word = np.searchsorted(np.cumsum(windows.window_length), windows.word_piece, side="right")
    first_sentence = windows.window_sentence[window_of_word]
    assert np.array_equal(document[first_sentence], document[pieces.word_sentence])
    if size == 0:
        assert np.array_equal(first_sentence, pieces.word_sentence)


@given(st.lists(st.lists(words, max_size=60).map(" ".join), max_size=8), st.integers(16, 40), st.integers(0, 40))
def test_windows_cover_every_piece_in_order_and_each_word_has_its_context(sentences, limit, size):
    """Windows go on where the last one ended, or repeat its end where a sentence is longer than a window."""
    pieces = tokenize_sentences(TOKENIZER, sentences)
    windows = make_windows(pieces, limit, size)
    context = limit // 8
    to = np.cumsum(windows.window_length)
    sentence_to = np.cumsum(pieces.sentence_length)
    covered, sentence = 0, -1
    places = []
    for end, length, first in zip(to, windows.window_length, windows.window_sentence, strict=True):
        begins = covered - 2 * context if first == sentence else covered
        places.append(begins)
        assert np.array_equal(windows.token_ids[end - length : end], pieces.token_ids[begins : begins + length])
        covered, sentence = begins + length, first
    assert covered == len(pieces.token_ids)
    window = np.searchsorted(to, windows.word_piece, side="right")
    place = np.array(places, np.int64)[window] if len(window) else np.empty(0, np.int64)
    for piece, begins, length, owner in zip(
        pieces.word_piece, place, windows.window_length[window], pieces.word_sentence, strict=True
    ):
        sentence_from = sentence_to[owner] - pieces.sentence_length[owner]
        assert piece - begins >= min(context, piece - sentence_from)
        assert begins + length - piece >= min(context, sentence_to[owner] - piece)


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 60))
def test_sentences_that_fit_a_window_share_it_and_no_window_could_hold_one_more(lengths, size):
    sentences = [" ".join(["mouse"] * n) for n in lengths]
    windows = make_windows(tokenize_sentences(TOKENIZER, sentences), 60, size)
    assert (len(windows.window_length) > 0) == any(lengths)
    to = [*windows.window_sentence[1:], len(sentences)][: len(windows.window_length)]
    for first, end, length in zip(windows.window_sentence, to, windows.window_length, strict=True):
        assert length <= size or length == max(lengths[first:end])
        more = next((n for n in lengths[end:] if n), None)
        assert more is None or length + more > size


def test_a_word_in_a_long_sentence_has_context_on_both_sides():
    limit = 64
    windows = make_windows(tokenize_sentences(TOKENIZER, [" ".join(["mouse"] * 500)]), limit)
    window_to = np.cumsum(windows.window_length)
    window = np.searchsorted(window_to, windows.word_piece, side="right")
    before = windows.word_piece - (window_to - windows.window_length)[window]
    after = window_to[window] - windows.word_piece - 1
    inner = slice(8, -8)
    assert before[inner].min() >= limit // 8
    assert after[inner].min() >= limit // 8 - 1


def test_words_are_split_at_punctuation_as_craft_iob_splits_them():
    text = "Ca2+-dependent (Pax6)."
    pieces = tokenize_sentences(TOKENIZER, [text])
    found = [text[a:b] for a, b in zip(pieces.word_start, pieces.word_end, strict=True)]
    assert found == ["Ca2", "+", "-", "dependent", "(", "Pax6", ")", "."]


def test_offsets_count_code_points():
    text = "\U0001f9ec β-catenin"
    pieces = tokenize_sentences(TOKENIZER, [text])
    assert [text[a:b] for a, b in zip(pieces.word_start, pieces.word_end, strict=True)][1:] == ["β", "-", "catenin"]


@pytest.mark.parametrize("sentences", [[], [""], ["\x00\x01"]])
@pytest.mark.parametrize("size", [0, 12])
def test_nothing_gives_no_windows(sentences, size):
    windows = make_windows(tokenize_sentences(TOKENIZER, sentences), 16, size)
    assert len(windows.token_ids) == len(windows.window_length) == len(windows.word_piece) == 0


def test_words_given_as_words_keep_their_numbers():
    pieces = tokenize_sentences(TOKENIZER, [["Pax6", "in", "mice"], ["ok"]])
    assert pieces.word_sentence.tolist() == [0, 0, 0, 1]
    assert pieces.word_index.tolist() == [0, 1, 2, 0]


@given(st.lists(words, max_size=9), st.integers(0, 9))
def test_parts_join_to_the_whole(sentences, cut):
    joined = join_pieces(
        [tokenize_sentences(TOKENIZER, sentences[:cut]), tokenize_sentences(TOKENIZER, sentences[cut:])]
    )
    whole = tokenize_sentences(TOKENIZER, sentences)
    for name in Subwords.__slots__:
        assert np.array_equal(getattr(joined, name), getattr(whole, name))
