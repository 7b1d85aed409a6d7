"""Sentences to words and word pieces.

BERT's tokenizers clean, split and cut text character by character, so a word gives the same pieces wherever it occurs.
Therefore words are found by a regular expression and looked up, and each distinct word is tokenized once. The character
classes of the expression are determined by probing the tokenizer. Sentences with other characters (combining marks,
control characters, Chinese characters, emoji) and other kinds of tokenizers go through the tokenizer itself.
"""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import groupby
from typing import cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer, PreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as Sequenced

COVERED = (range(0x20, 0x530), range(0x1E00, 0x2300))
"""Code points that are probed: Latin, Greek and Cyrillic letters, punctuation, arrows, mathematical symbols."""

SYMBOLS = r"[\p{S}Δ]"
"""Characters at which tokenizers of our own training also split words (`windows.word_splitter`)."""

_SPLITTERS = (
    [{"type": "BertPreTokenizer"}],
    [
        {"type": "BertPreTokenizer"},
        {"type": "Split", "pattern": {"Regex": SYMBOLS}, "behavior": "Isolated", "invert": False},
    ],
)
"""Pre-tokenizers that split by single characters only, in the JSON of `tokenizers`."""

MAX_WORDS = 200_000
"""Distinct words that are remembered, about 30 MB; then the memory is cleared."""


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


def to_subwords(tokenizer: Tokenizer, sentences: Sequence[str] | Sequence[Sequence[str]]) -> Subwords:
    """Word pieces of sentences, each a text or a list of words. Texts are looked up where possible."""
    look_up = word_pieces(tokenizer) if sentences and isinstance(sentences[0], str) else None
    if look_up is None:
        return tokenize_sentences(tokenizer, sentences)
    runs = ((supported, list(run)) for supported, run in groupby(cast(Sequence[str], sentences), look_up.supports))
    return join_pieces([look_up(run) if supported else tokenize_sentences(tokenizer, run) for supported, run in runs])


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


def word_splitter() -> PreTokenizer:
    """BERT's pre-tokenizer, which splits at blanks and punctuation, extended to split at symbols and the capital delta.

    BERT splits `Pax6−/−` into `Pax6−`, `/` and `−`, because Unicode has the minus sign as a symbol, not as punctuation.
    The delta denotes a deletion, as in `Cln3Δex7`.
    """
    splitter: PreTokenizer = Sequenced([BertPreTokenizer(), Split(Regex(SYMBOLS), "isolated")])
    return splitter


class WordPieces:
    """The word pieces that a tokenizer gives, looked up by word. Safe for threads.

    special: text that the tokenizer maps to special tokens
    """

    def __init__(self, tokenizer: Tokenizer, special: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        letters, marks, blanks = _character_classes(tokenizer)
        self._words = re.compile(f"([{letters}]+|[{marks}])")
        self._unsupported = re.compile("|".join([f"[^{letters}{marks}{blanks}]", *map(re.escape, special)]))
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._number: dict[str, int] = {}
        self._first = np.zeros(1, np.int64)
        self._ids = np.empty(0, np.int32)

    def supports(self, sentence: str) -> bool:
        return self._unsupported.search(sentence) is None

    def __call__(self, sentences: Sequence[str]) -> Subwords:
        """The result of `tokenize_sentences` for sentences that are supported."""
        parts = self._words.split("\n".join(sentences))
        to = np.cumsum(np.fromiter(map(len, parts), np.int32, len(parts)), dtype=np.int32)
        words = parts[1::2]
        ids, first, count = self._look_up(words)
        length = np.fromiter(map(len, sentences), np.int32, len(sentences))
        sentence_start = np.cumsum(length + 1, dtype=np.int32) - (length + 1)
        start, end = to[:-1:2], to[1::2]
        sentence = (np.searchsorted(sentence_start, start, side="right") - 1).astype(np.int32)
        offset = sentence_start[sentence]
        piece_to = np.cumsum(count)
        words_before = np.searchsorted(sentence, np.arange(len(sentences)))
        return Subwords(
            token_ids=ids[np.repeat(first - (piece_to - count), count) + np.arange(piece_to[-1] if len(count) else 0)],
            sentence_length=np.bincount(sentence, count, len(sentences)).astype(np.int32),
            word_piece=(piece_to - count).astype(np.int32),
            word_sentence=sentence,
            word_index=(np.arange(len(sentence)) - words_before[sentence]).astype(np.int32),
            word_start=start - offset,
            word_end=end - offset,
        )

    def _look_up(self, words: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Token ids of all remembered words, and per given word the index of its first one and their number."""
        with self._lock:
            if unknown := set(words) - self._number.keys():
                self._learn(list(unknown))
            ids, first = self._ids, self._first
            number = np.fromiter(map(self._number.__getitem__, words), np.int64, len(words))
            if len(self._number) > MAX_WORDS:
                self._clear()
        return ids, first[number], first[number + 1] - first[number]

    def _learn(self, words: list[str]) -> None:
        encodings = self._tokenizer.encode_batch_fast(words, add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        self._number.update(zip(words, range(len(self._number), len(self._number) + len(words)), strict=True))
        to = self._first[-1] + np.cumsum(np.fromiter(map(len, ids), np.int64, len(ids)))
        self._first = np.concatenate([self._first, to])
        self._ids = np.concatenate([self._ids, np.array([i for own in ids for i in own], np.int32)])


@lru_cache(maxsize=4)
def word_pieces(tokenizer: Tokenizer) -> WordPieces | None:
    """The look-up for a tokenizer that is BERT's in all steps, or also splits at SYMBOLS; None for any other."""
    described = json.loads(tokenizer.to_str())
    splitter = described["pre_tokenizer"] or {}
    steps = [(described[step] or {}).get("type") for step in ("normalizer", "model")]
    if steps != ["BertNormalizer", "WordPiece"] or described["truncation"] or described["padding"]:
        return None
    if splitter.get("pretokenizers", [splitter]) not in _SPLITTERS:
        return None
    return WordPieces(tokenizer, [token["content"] for token in described["added_tokens"]])


def _character_classes(tokenizer: Tokenizer) -> tuple[str, str, str]:
    """Characters that are part of words, that are words by themselves, and blanks, as regular expression classes.

    Each is probed between, after and before letters, and alone. One that fits no class is in none.
    """
    kinds: dict[tuple[tuple[int, int], ...], list[str]] = {
        ((0, 5), (6, 7), (8, 11), (12, 15)): [],
        ((0, 2), (2, 3), (3, 5), (6, 7), (8, 9), (9, 11), (12, 14), (14, 15)): [],
        ((0, 2), (3, 5), (9, 11), (12, 14)): [],
    }
    characters = [chr(code) for codes in COVERED for code in codes]
    texts = [f"ab{c}cd {c} {c}ab ab{c}" for c in characters]
    for character, encoding in zip(characters, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
        spans: dict[int | None, tuple[int, int]] = {}
        for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
            spans[word] = (spans.get(word, (start, end))[0], end)
        kinds.get(tuple(spans.values()), []).append(character)
    letters, marks, blanks = ("".join(map(re.escape, kind)) for kind in kinds.values())
    return letters, marks, blanks
