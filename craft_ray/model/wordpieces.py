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
from itertools import groupby, repeat

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

MANY = 1_000
"""Characters from which on words are looked up. To prepare that takes as long as the tokenizer for 100,000."""

MAX_WORDS = 200_000
"""Distinct words that are remembered, about 30 MB; then the memory is cleared."""


@dataclass(frozen=True, slots=True)
class Subwords:
    """Word pieces of consecutive sentences.

    token_ids:       (pieces,)    without special tokens, int32
    sentence_length: (sentences,) number of pieces, int32
    start, end:      (pieces,)    code point offsets in the sentence, int32
    inner:           (pieces,)    true for pieces that continue a word
    """

    token_ids: NDArray[np.int32]
    sentence_length: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    inner: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Units:
    """What a model labels: words, or all word pieces.

    piece:      (units,) index of the unit's first piece, whose label is the unit's, int32
    sentence:   (units,) index of its sentence, int32
    start, end: (units,) code point offsets in the sentence, int32
    inner:      (units,) true for pieces that continue a word
    """

    piece: NDArray[np.int32]
    sentence: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    inner: NDArray[np.bool_]

    @classmethod
    def of(cls, pieces: Subwords, label_pieces: bool) -> "Units":
        sentence = np.repeat(np.arange(len(pieces.sentence_length), dtype=np.int32), pieces.sentence_length)
        inner = pieces.inner if label_pieces else np.zeros_like(pieces.inner)
        first = np.arange(len(sentence)) if label_pieces else np.flatnonzero(~pieces.inner)
        last = np.append(first[1:], len(sentence)) - 1 if len(first) else first
        return cls(first.astype(np.int32), sentence[first], pieces.start[first], pieces.end[last], inner[first])


def to_subwords(tokenizer: Tokenizer, sentences: Sequence[str], blank_words: bool = False) -> Subwords:
    """Word pieces of sentences, looked up where possible.

    blank_words: as in `Checkpoint`
    """
    if not blank_words and sum(map(len, sentences)) < MANY:
        return tokenize_sentences(tokenizer, sentences)
    look_up = word_pieces(tokenizer) if sentences else None
    if look_up is None:
        pieces = tokenize_sentences(tokenizer, sentences)
        unknown = _unknown_piece(tokenizer) if blank_words else None
        return pieces if unknown is None else _joined_between_blanks(pieces, sentences, unknown)
    runs = ((supported, list(run)) for supported, run in groupby(sentences, look_up.supports))
    return join_pieces([look_up(run) if supported else tokenize_sentences(tokenizer, run) for supported, run in runs])


def tokenize_sentences(tokenizer: Tokenizer, sentences: Sequence[str]) -> Subwords:
    """Word pieces of sentences by the tokenizer. Words without a piece (control characters) are left out."""
    encodings = tokenizer.encode_batch(sentences, add_special_tokens=False)
    ids: list[int] = []
    words: list[int | None] = []  # None only for special tokens, which are not added
    offsets: list[tuple[int, int]] = []
    for encoding in encodings:
        ids += encoding.ids
        words += encoding.word_ids
        offsets += encoding.offsets
    length = np.fromiter(map(len, encodings), np.int32, len(encodings))
    word = np.array(words, np.int32)
    start, end = np.array(offsets, np.int32).reshape(-1, 2).T
    inner = np.zeros(len(ids), np.bool_)
    inner[1:] = word[1:] == word[:-1]
    inner[(np.cumsum(length) - length)[length > 0]] = False
    return Subwords(np.array(ids, np.int32), length, start, end, inner)


def _joined_between_blanks(pieces: Subwords, sentences: Sequence[str], unknown: int) -> Subwords:
    """Pieces with the words of transformers' pipeline. One begins at the start of a sentence, at a piece that begins
    with a blank or follows one, and at each unknown piece.
    """
    text = np.frombuffer("".join(f" {sentence}\n" for sentence in sentences).encode("utf-32-le"), np.uint32)
    length = np.fromiter(map(len, sentences), np.int64, len(sentences)) + 2
    start = np.repeat(np.cumsum(length) - length + 1, pieces.sentence_length) + pieces.start
    begins = (text[start - 1] == ord(" ")) | (text[start] == ord(" ")) | (pieces.token_ids == unknown)
    return replace(pieces, inner=~begins)


@lru_cache(maxsize=4)
def _unknown_piece(tokenizer: Tokenizer) -> int | None:
    """The id of unknown pieces, -1 without one. None for a tokenizer that marks the pieces that continue a word."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("continuing_subword_prefix"):
        return None
    unknown = tokenizer.token_to_id(model["unk_token"]) if model.get("unk_token") else model.get("unk_id")
    return -1 if unknown is None else int(unknown)


def join_pieces(parts: Sequence[Subwords]) -> Subwords:
    """Concatenate the pieces of consecutive sentences."""
    names = (field.name for field in fields(Subwords))
    return Subwords(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


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
        self._unsupported = re.compile(f"[^{letters}{marks}{blanks}]")  # one class alone is searched much faster
        self._special = re.compile("|".join(map(re.escape, special)) or "(?!)")
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._number: dict[str, int] = {}
        self._first = np.zeros(1, np.int64)
        self._pieces = np.empty((3, 0), np.int32)  # token id, start and end in the word

    def supports(self, sentence: str) -> bool:
        return self._unsupported.search(sentence) is None and self._special.search(sentence) is None

    def __call__(self, sentences: Sequence[str]) -> Subwords:
        """The result of `tokenize_sentences` for sentences that are supported."""
        parts = self._words.split("\n".join(sentences))
        to = np.cumsum(np.fromiter(map(len, parts), np.int32, len(parts)), dtype=np.int32)
        (token_ids, start, end), first, count = self._look_up(parts[1::2])
        length = np.fromiter(map(len, sentences), np.int32, len(sentences))
        sentence_start = np.cumsum(length + 1, dtype=np.int32) - (length + 1)
        sentence = np.searchsorted(sentence_start, to[:-1:2], side="right") - 1
        offset = np.repeat(to[:-1:2] - sentence_start[sentence], count)
        piece_to = np.cumsum(count)
        total = int(piece_to[-1]) if len(count) else 0
        piece = np.repeat(first - (piece_to - count), count) + np.arange(total)
        inner = np.ones(total, np.bool_)
        inner[piece_to - count] = False
        return Subwords(
            token_ids=token_ids[piece],
            sentence_length=np.bincount(sentence, count, len(sentences)).astype(np.int32),
            start=start[piece] + offset,
            end=end[piece] + offset,
            inner=inner,
        )

    def _look_up(self, words: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Token ids, starts and ends of all remembered words, and per given word the index of its first piece and their
        number.
        """
        with self._lock:
            number = np.fromiter(map(self._number.get, words, repeat(-1)), np.int64, len(words))
            if unknown := np.flatnonzero(number < 0).tolist():
                self._learn(list(dict.fromkeys(words[index] for index in unknown)))
                number[unknown] = [self._number[words[index]] for index in unknown]
            pieces, first = self._pieces, self._first
            if len(self._number) > MAX_WORDS:
                self._clear()
        return pieces, first[number], first[number + 1] - first[number]

    def _learn(self, words: list[str]) -> None:
        encodings = self._tokenizer.encode_batch(words, add_special_tokens=False)
        self._number.update(zip(words, range(len(self._number), len(self._number) + len(words)), strict=True))
        to = self._first[-1] + np.cumsum(np.fromiter(map(len, encodings), np.int64, len(encodings)))
        self._first = np.concatenate([self._first, to])
        pieces = [(i, *span) for own in encodings for i, span in zip(own.ids, own.offsets, strict=True)]
        self._pieces = np.concatenate([self._pieces, np.array(pieces, np.int32).reshape(-1, 3).T], axis=1)


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
