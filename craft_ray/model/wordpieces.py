"""Word pieces of English text, each distinct word tokenized once.

BERT's tokenizers clean, split and cut text character by character, so a word gives the same pieces wherever it stands.
Here words are found by one regular expression, and their pieces looked up; the tokenizer is asked only for words that
it has not seen. Which characters make words is asked of the tokenizer once. Sentences with others (combining marks,
control characters, Chinese characters) are left to the tokenizer.
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
"""Code points that are looked into: Latin, Greek and Cyrillic letters, punctuation, arrows, signs of mathematics."""

SYMBOLS = r"[\p{S}Δ]"
"""Characters at which tokenizers of our own training split words as well (`windows.word_splitter`)."""

_SPLITTERS = (
    [{"type": "BertPreTokenizer"}],
    [
        {"type": "BertPreTokenizer"},
        {"type": "Split", "pattern": {"Regex": SYMBOLS}, "behavior": "Isolated", "invert": False},
    ],
)
"""Pre-tokenizers that look at single characters alone, as `tokenizers` describes them."""

KEPT = 200_000
"""Distinct words remembered, some 30 MB; beyond them the memory begins anew."""

Pieces = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
"""Of sentences: token ids, then pieces, first code point, end and sentence of each word."""


class WordPieces:
    """The pieces of words, as a tokenizer gives them.

    special: text that the tokenizer takes for special tokens
    """

    def __init__(self, tokenizer: Tokenizer, special: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        within, marks, blanks = _classes(tokenizer)
        self._words = re.compile(f"([{within}]+|[{marks}])")
        self._others = re.compile("|".join([f"[^{within}{marks}{blanks}]", *map(re.escape, special)]))
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._number: dict[str, int] = {}
        self._first = np.zeros(1, np.int64)
        self._ids = np.empty(0, np.int32)

    def suits(self, sentence: str) -> bool:
        """True if all of a sentence can be looked up word by word."""
        return self._others.search(sentence) is None

    def __call__(self, sentences: Sequence[str]) -> Pieces:
        """The pieces of sentences that suit."""
        parts = self._words.split("\n".join(sentences))
        to = np.cumsum(np.fromiter(map(len, parts), np.int32, len(parts)), dtype=np.int32)
        words = parts[1::2]
        ids, first, count = self._looked_up(words)
        length = np.fromiter(map(len, sentences), np.int32, len(sentences))
        sentence_start = np.cumsum(length + 1, dtype=np.int32) - (length + 1)
        start, end = to[:-1:2], to[1::2]
        sentence = (np.searchsorted(sentence_start, start, side="right") - 1).astype(np.int32)
        offset = sentence_start[sentence]
        piece_to = np.cumsum(count)
        token_ids = ids[np.repeat(first - (piece_to - count), count) + np.arange(piece_to[-1] if len(count) else 0)]
        return token_ids, count.astype(np.int32), start - offset, end - offset, sentence

    def _looked_up(self, words: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """The ids of all words remembered, and where in them each word's begin and how many they are."""
        with self._lock:
            if unknown := set(words) - self._number.keys():
                self._learn(list(unknown))
            ids, first = self._ids, self._first
            number = np.fromiter(map(self._number.__getitem__, words), np.int64, len(words))
            if len(self._number) > KEPT:
                self._forget()
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
    """The word pieces of a tokenizer that is BERT's in all its steps, or also splits at SYMBOLS; None for any other."""
    described = json.loads(tokenizer.to_str())
    splitter = described["pre_tokenizer"] or {}
    steps = [(described[step] or {}).get("type") for step in ("normalizer", "model")]
    if steps != ["BertNormalizer", "WordPiece"] or described["truncation"] or described["padding"]:
        return None
    if splitter.get("pretokenizers", [splitter]) not in _SPLITTERS:
        return None
    return WordPieces(tokenizer, [token["content"] for token in described["added_tokens"]])


def _classes(tokenizer: Tokenizer) -> tuple[str, str, str]:
    """The characters that stand within words, those that are words of their own, and blanks, as the tokenizer has them.

    Each is looked at between, before and after letters, and alone.
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
    within, marks, blanks = ("".join(map(re.escape, kind)) for kind in kinds.values())
    return within, marks, blanks
