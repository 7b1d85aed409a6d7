"""Word pieces of English text by looking words up, with each distinct word tokenized once.

BERT's tokenizers clean, split and cut text character by character, so a word gives the same pieces wherever it occurs.
Words are found by a regular expression, whose character classes are determined by probing the tokenizer. Sentences with
other characters (combining marks, control characters, Chinese characters, emoji) must be left to the tokenizer.
"""

import json
import re
import threading
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

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

Pieces = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
"""Token ids of sentences; then per word its number of pieces, start, end (code points) and sentence."""


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

    def __call__(self, sentences: Sequence[str]) -> Pieces:
        """All sentences must be supported."""
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
        token_ids = ids[np.repeat(first - (piece_to - count), count) + np.arange(piece_to[-1] if len(count) else 0)]
        return token_ids, count.astype(np.int32), start - offset, end - offset, sentence

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
