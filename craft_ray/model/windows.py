"""Sentences to words, word pieces and windows that fit the model, as flat columns.

A window is one sentence, or consecutive sentences of a document up to the size that the model was trained with. A
sentence that does not fit the model is covered by overlapping windows, and each word is read in the one where it has
the most context. Nothing is truncated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer, PreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as Sequenced

from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.wordpieces import SYMBOLS, WordPieces, word_pieces


@dataclass(frozen=True, slots=True)
class Subwords:
    """Words and word pieces of consecutive sentences, all int32.

    token_ids:       (pieces,)    without special tokens
    sentence_length: (sentences,) number of pieces
    word_piece:      (words,)     index in `token_ids` of the word's first piece, whose label is the word's
    word_sentence:   (words,)     index of the word's sentence
    word_index:      (words,)     number of the word in its sentence, as the pre-tokenizer counts
    word_start:      (words,)     code point offset in the sentence; in the word, for sentences that are lists of words
    word_end:        (words,)     likewise, exclusive
    """

    token_ids: NDArray[np.int32]
    sentence_length: NDArray[np.int32]
    word_piece: NDArray[np.int32]
    word_sentence: NDArray[np.int32]
    word_index: NDArray[np.int32]
    word_start: NDArray[np.int32]
    word_end: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows that the model reads, all int32. Words are those of `Subwords`.

    token_ids:       (pieces,)  of all windows, one after the other; overlapping windows repeat some
    window_length:   (windows,) number of pieces
    window_sentence: (windows,) index of the window's first sentence
    word_piece:      (words,)   index in `token_ids` of the word's first piece
    """

    token_ids: NDArray[np.int32]
    window_length: NDArray[np.int32]
    window_sentence: NDArray[np.int32]
    word_piece: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Windower:
    """Makes windows for one model. Fields are as in `Checkpoint`."""

    tokenizer: Tokenizer
    max_tokens: int
    window_pieces: int = 0

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Windower":
        return cls(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.max_tokens, checkpoint.window_pieces)

    def subwords(self, sentences: Sequence[str] | Sequence[Sequence[str]]) -> Subwords:
        """Word pieces of sentences, each a text or a list of words."""
        look_up = word_pieces(self.tokenizer) if sentences and isinstance(sentences[0], str) else None
        if look_up is None:
            return tokenize_sentences(self.tokenizer, sentences)
        runs = ((known, list(run)) for known, run in groupby(cast(Sequence[str], sentences), look_up.supports))
        return join_pieces(
            [_from_words(look_up, run) if known else tokenize_sentences(self.tokenizer, run) for known, run in runs]
        )

    def windows(self, pieces: Subwords, document: NDArray[np.integer] | None = None) -> Windows:
        return make_windows(pieces, self.max_tokens, self.window_pieces, document)

    def __call__(self, sentences: Sequence[str] | Sequence[Sequence[str]]) -> tuple[Subwords, Windows]:
        """Word pieces and windows of the sentences of one document."""
        pieces = self.subwords(sentences)
        return pieces, self.windows(pieces)


def word_splitter() -> PreTokenizer:
    """BERT's pre-tokenizer, which splits at blanks and punctuation, extended to split at symbols and the capital delta.

    BERT splits `Pax6−/−` into `Pax6−`, `/` and `−`, because Unicode has the minus sign as a symbol, not as punctuation.
    The delta denotes a deletion, as in `Cln3Δex7`.
    """
    splitter: PreTokenizer = Sequenced([BertPreTokenizer(), Split(Regex(SYMBOLS), "isolated")])
    return splitter


def tokenize_sentences(tokenizer: Tokenizer, sentences: Sequence[str] | Sequence[Sequence[str]]) -> Subwords:
    """Tokenize sentences, each a text or a list of words. Words without a piece (control characters) are left out."""
    pretokenized = len(sentences) > 0 and not isinstance(sentences[0], str)
    encodings = tokenizer.encode_batch(sentences, is_pretokenized=pretokenized, add_special_tokens=False)
    ids: list[int] = []
    words: list[int | None] = []  # None only for special tokens, which are not added
    offsets: list[tuple[int, int]] = []
    for encoding in encodings:
        ids += encoding.ids
        words += encoding.word_ids
        offsets += encoding.offsets
    length = np.fromiter(map(len, encodings), np.int32, len(encodings))
    piece_word = np.array(words, np.int32)
    piece_offsets = np.array(offsets, np.int32).reshape(-1, 2)

    piece_sentence = np.repeat(np.arange(len(length), dtype=np.int32), length)
    begins = np.ones(len(ids), np.bool_)
    begins[1:] = (piece_word[1:] != piece_word[:-1]) | (piece_sentence[1:] != piece_sentence[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(ids)) - 1 if len(first) else first
    return Subwords(
        token_ids=np.array(ids, np.int32),
        sentence_length=length,
        word_piece=first.astype(np.int32),
        word_sentence=piece_sentence[first],
        word_index=piece_word[first],
        word_start=piece_offsets[first, 0],
        word_end=piece_offsets[last, 1],
    )


def _from_words(look_up: WordPieces, sentences: list[str]) -> Subwords:
    """The result of `tokenize_sentences` for sentences whose words can be looked up."""
    token_ids, count, start, end, sentence = look_up(sentences)
    words = np.bincount(sentence, minlength=len(sentences))
    return Subwords(
        token_ids=token_ids,
        sentence_length=np.bincount(sentence, count, len(sentences)).astype(np.int32),
        word_piece=np.cumsum(count, dtype=np.int32) - count,
        word_sentence=sentence,
        word_index=(np.arange(len(sentence)) - np.repeat(np.cumsum(words) - words, words)).astype(np.int32),
        word_start=start,
        word_end=end,
    )


def join_pieces(parts: Sequence[Subwords]) -> Subwords:
    """Concatenate the pieces of consecutive sentences."""
    first_piece = np.cumsum([0, *(len(part.token_ids) for part in parts)], dtype=np.int32)
    first_sentence = np.cumsum([0, *(len(part.sentence_length) for part in parts)], dtype=np.int32)
    shifted = [
        replace(part, word_piece=part.word_piece + piece, word_sentence=part.word_sentence + sentence)
        for part, piece, sentence in zip(parts, first_piece[:-1], first_sentence[:-1], strict=True)
    ]
    names = (field.name for field in fields(Subwords))
    return Subwords(**{name: np.concatenate([getattr(part, name) for part in shifted]) for name in names})


def make_windows(pieces: Subwords, limit: int, size: int = 0, document: NDArray[np.integer] | None = None) -> Windows:
    """Put sentences into windows of at most `limit` pieces.

    size:     pieces up to which consecutive sentences share a window; 0 for one sentence per window
    document: (sentences,) number of each sentence's document, which no window crosses; None if there is only one
    """
    length = pieces.sentence_length
    first_sentence = _runs(length, document, min(size, limit))
    run_length = np.add.reduceat(length, first_sentence) if len(length) else length
    word_run = np.searchsorted(first_sentence, pieces.word_sentence, side="right") - 1
    first = pieces.word_piece.astype(np.int64)
    window_from, window_length, window_run, word_window = _cover(run_length, word_run, first, limit)

    token_ids = pieces.token_ids
    window_to = np.cumsum(window_length)
    window_start = window_to - window_length
    if len(window_to) and window_to[-1] != len(token_ids):  # overlapping windows repeat pieces
        token_ids = token_ids[np.repeat(window_from - window_start, window_length) + np.arange(window_to[-1])]
    return Windows(
        token_ids=token_ids,
        window_length=window_length.astype(np.int32),
        window_sentence=first_sentence[window_run].astype(np.int32),
        word_piece=(window_start[word_window] + first - window_from[word_window]).astype(np.int32),
    )


def _runs(length: NDArray[np.int32], document: NDArray[np.integer] | None, size: int) -> NDArray[np.int64]:
    """The first sentence of each run of sentences that share a window: as many as fit `size`, but at least one."""
    if size == 0:
        return np.arange(len(length), dtype=np.int64)
    to = np.cumsum(length, dtype=np.int64)
    changes = np.flatnonzero(np.diff(document)) + 1 if document is not None else np.empty(0, np.int64)
    document_end = np.append(changes, len(length))
    firsts = []
    first = 0
    while first < len(length):
        firsts.append(first)
        past_size = int(np.searchsorted(to, to[first] - length[first] + size, side="right"))
        end = int(document_end[np.searchsorted(document_end, first, side="right")])
        first = max(first + 1, min(past_size, end))
    return np.array(firsts, np.int64)


def _cover(
    length: NDArray[np.integer], word_run: NDArray[np.integer], first: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cover runs of `length` pieces with windows of at most `limit` pieces.

    Neighbouring windows of a run overlap by `2 * context` pieces. The word whose first piece is at p is read in window
    (p - context) // stride, where at least `context` pieces of its run, if there are as many, lie on either side of p.

    Returns the first piece, length and run of each window, and the window of each word.
    """
    context = limit // 8
    stride = limit - 2 * context
    count = np.where(length > limit, -(-(length - limit) // stride) + 1, np.minimum(length, 1)).astype(np.int64)
    run_from = np.cumsum(length, dtype=np.int64) - length
    first_window = np.cumsum(count) - count
    window_run = np.repeat(np.arange(len(length)), count)
    number_in_run = np.arange(len(window_run)) - first_window[window_run]
    window_from = run_from[window_run] + number_in_run * stride
    window_length = np.minimum(limit, run_from[window_run] + length[window_run] - window_from)
    in_run = first - run_from[word_run]
    word_number = np.clip((in_run - context) // stride, 0, count[word_run] - 1)
    return window_from, window_length, window_run, first_window[word_run] + word_number
