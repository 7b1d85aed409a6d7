"""Sentences to words, word pieces and windows that fit the model, as flat columns. Pure: knows no model and no Ray.

A window is one sentence. One that is longer than the model takes is covered by overlapping windows, and each of its
words is read in the window where it has the most context, so nothing is cut at any length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of some sentences. Pieces are flat over windows, words flat over sentences.

    token_ids:     (pieces,)  word piece ids, without the model's special tokens
    window_length: (windows,) pieces in each window; they sum to `pieces`
    window_sentence: (windows,) index of the window's sentence
    word_piece:    (words,)   where in `token_ids` each word's first piece stands, the one whose label is the word's
    word_sentence: (words,)   index of the word's sentence
    word_index:    (words,)   the word's number within its sentence, as the pre-tokenizer counts
    word_start:    (words,)   code point offset in the sentence (in the word, for sentences given as words)
    word_end:      (words,)   likewise, exclusive
    """

    token_ids: NDArray[np.int32]
    window_length: NDArray[np.int32]
    window_sentence: NDArray[np.int32]
    word_piece: NDArray[np.int32]
    word_sentence: NDArray[np.int32]
    word_index: NDArray[np.int32]
    word_start: NDArray[np.int32]
    word_end: NDArray[np.int32]


def make_windows(tokenizer: Tokenizer, sentences: Sequence[str] | Sequence[Sequence[str]], limit: int) -> Windows:
    """Tokenize sentences (text, or lists of words) into windows of at most `limit` pieces.

    Words that the tokenizer gives no piece (control characters) do not appear.
    """
    pretokenized = len(sentences) > 0 and not isinstance(sentences[0], str)
    encodings = tokenizer.encode_batch(sentences, is_pretokenized=pretokenized, add_special_tokens=False)
    ids: list[int] = []
    words: list[int | None] = []  # never None, for special tokens are not added
    offsets: list[tuple[int, int]] = []
    for encoding in encodings:
        ids += encoding.ids
        words += encoding.word_ids
        offsets += encoding.offsets
    length = np.fromiter(map(len, encodings), np.int32, len(encodings))
    token_ids = np.array(ids, np.int32)
    piece_word = np.array(words, np.int32)
    piece_offsets = np.array(offsets, np.int32).reshape(-1, 2)

    piece_sentence = np.repeat(np.arange(len(length), dtype=np.int32), length)
    begins = np.ones(len(token_ids), np.bool_)
    begins[1:] = (piece_word[1:] != piece_word[:-1]) | (piece_sentence[1:] != piece_sentence[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(token_ids)) - 1 if len(first) else first
    word_sentence = piece_sentence[first]
    window_from, window_length, window_sentence, word_window = _cover(length, word_sentence, first, limit)

    window_to = np.cumsum(window_length)
    window_start = window_to - window_length
    if len(window_to) and window_to[-1] != len(token_ids):  # overlapping windows repeat pieces
        token_ids = token_ids[np.repeat(window_from - window_start, window_length) + np.arange(window_to[-1])]
    return Windows(
        token_ids=token_ids,
        window_length=window_length.astype(np.int32),
        window_sentence=window_sentence.astype(np.int32),
        word_piece=(window_start[word_window] + first - window_from[word_window]).astype(np.int32),
        word_sentence=word_sentence,
        word_index=piece_word[first],
        word_start=piece_offsets[first, 0],
        word_end=piece_offsets[last, 1],
    )


def _cover(
    length: NDArray[np.int32], word_sentence: NDArray[np.int32], first: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cover sentences of `length` pieces with windows of at most `limit`.

    Windows of one sentence start `stride` pieces apart and share an eighth of the limit on each side, so that a word
    whose first piece is at p is read in window (p - context) // stride, at least `context` pieces from either end.

    Returns each window's first piece, length and sentence, and each word's window.
    """
    context = limit // 8
    stride = limit - 2 * context
    count = np.where(length > limit, -(-(length - limit) // stride) + 1, np.minimum(length, 1)).astype(np.int64)
    sentence_from = np.cumsum(length, dtype=np.int64) - length
    first_window = np.cumsum(count) - count
    window_sentence = np.repeat(np.arange(len(length)), count)
    number = np.arange(len(window_sentence)) - first_window[window_sentence]
    window_from = sentence_from[window_sentence] + number * stride
    window_length = np.minimum(limit, sentence_from[window_sentence] + length[window_sentence] - window_from)
    in_sentence = first - sentence_from[word_sentence]
    word_number = np.clip((in_sentence - context) // stride, 0, count[word_sentence] - 1)
    return window_from, window_length, window_sentence, first_window[word_sentence] + word_number
