"""Words, word pieces and windows: every word is read once, with context, at any length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.schema import Document, Section
from craft_ray.model import tokens
from craft_ray.model.tokens import tokenize
from craft_ray.model.windows import Windower, make_windows
from craft_ray.model.wordpieces import Units, tokenize_sentences
from tests.support.models import TOKENIZER

words = st.text(alphabet=st.sampled_from("abcPax6-éβ\U0001f9ec中"), min_size=1, max_size=8)
texts = st.lists(st.lists(words, max_size=60).map(" ".join), max_size=8)


@given(texts, st.integers(16, 40), st.integers(0, 40), st.data())
def test_each_word_is_read_in_a_window_of_its_document(sentences, limit, size, data):
    pieces = tokenize_sentences(TOKENIZER, sentences)
    document = np.sort(data.draw(st.lists(st.integers(0, 3), min_size=len(sentences), max_size=len(sentences))))
    units = Units.of(pieces, data.draw(st.booleans()))
    windows = make_windows(pieces, units, limit, size, document)
    assert windows.window_length.sum() == len(windows.token_ids)
    assert (windows.window_length <= limit).all()
    assert np.array_equal(windows.token_ids[windows.unit_piece], pieces.token_ids[units.piece])
    window_of_word = np.searchsorted(np.cumsum(windows.window_length), windows.unit_piece, side="right")
    first_sentence = windows.window_sentence[window_of_word]
    assert np.array_equal(document[first_sentence], document[units.sentence])
    if size == 0:
        assert np.array_equal(first_sentence, units.sentence)


@given(texts, st.integers(16, 40), st.integers(0, 40))
def test_windows_cover_all_pieces_with_context(sentences, limit, size):
    """A window starts where the previous one ended, or overlaps it where a sentence is longer than a window."""
    pieces = tokenize_sentences(TOKENIZER, sentences)
    units = Units.of(pieces, label_pieces=False)
    windows = make_windows(pieces, units, limit, size)
    context = limit // 8
    to = np.cumsum(windows.window_length)
    sentence_to = np.cumsum(pieces.sentence_length)
    covered, sentence = 0, -1
    begins = []
    for end, length, first in zip(to, windows.window_length, windows.window_sentence, strict=True):
        begin = covered - 2 * context if first == sentence else covered
        begins.append(begin)
        assert np.array_equal(windows.token_ids[end - length : end], pieces.token_ids[begin : begin + length])
        covered, sentence = begin + length, first
    assert covered == len(pieces.token_ids)
    window = np.searchsorted(to, windows.unit_piece, side="right")
    for piece, number, owner in zip(units.piece, window, units.sentence, strict=True):
        begin, length = begins[number], windows.window_length[number]
        sentence_from = sentence_to[owner] - pieces.sentence_length[owner]
        assert piece - begin >= min(context, piece - sentence_from)
        assert begin + length - piece >= min(context, sentence_to[owner] - piece)


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 60))
def test_sentences_share_windows_as_far_as_they_fit(lengths, size):
    sentences = [" ".join(["mouse"] * n) for n in lengths]
    _, windows = Windower(TOKENIZER, 60, size)(sentences)
    assert (len(windows.window_length) > 0) == any(lengths)
    to = [*windows.window_sentence[1:], len(sentences)][: len(windows.window_length)]
    for first, end, length in zip(windows.window_sentence, to, windows.window_length, strict=True):
        assert length <= size or length == max(lengths[first:end])
        following = next((n for n in lengths[end:] if n), None)
        assert following is None or length + following > size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ca2+-dependent (Pax6).", ["Ca2", "+", "-", "dependent", "(", "Pax6", ")", "."]),
        ("\U0001f9ec β-catenin", ["\U0001f9ec", "β", "-", "catenin"]),
    ],
)
def test_words_and_offsets(text, expected):
    units, _ = Windower(TOKENIZER, 510)([text])
    assert [text[a:b] for a, b in zip(units.start, units.end, strict=True)] == expected


@pytest.mark.parametrize("sentences", [[], [""], ["\x00\x01"]])
@pytest.mark.parametrize("size", [0, 12])
def test_empty_sentences_give_no_windows(sentences, size):
    _, windows = Windower(TOKENIZER, 16, size)(sentences)
    assert len(windows.token_ids) == len(windows.window_length) == len(windows.unit_piece) == 0


@pytest.mark.parametrize("window_pieces", [0, 64])
def test_long_documents_are_tokenized_in_parts(monkeypatch, window_pieces):
    document = Document("a", "Pax6 acts in mice. " * 200, (Section("s", 0, 19 * 200),))
    whole = tokenize([document, document], Windower(TOKENIZER, 510, window_pieces))
    monkeypatch.setattr(tokens, "MAX_CHARACTERS", 500)
    assert tokenize([document, document], Windower(TOKENIZER, 510, window_pieces)) == whole
