"""Find the names of a list in texts.

A name is found where the words of a text have its folded form (`forms`), and symbols where their case is the same too.
Hashes of all runs of words come from one running sum over the characters, so the time hardly depends on the number of
names, and no object is made for a word.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.context import NAME_GOES_ON
from craft_ray.concepts.forms import cased_form, folded_words, is_symbol

BATCH_CHARACTERS = 1 << 17
"""Characters of texts that are searched together, few enough for a processor's cache."""

MAX_WORDS = 15
"""Words of a name; longer ones are not found."""

_PREFIX = 4
"""Words of a run from which on only runs that a name begins with are followed."""

_BITS_PER_NAME = 64
_CODES = 1 << 17
"""Code points; characters above are no part of names."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_COMBINING = slice(0x300, 0x370)

_SYMBOL = re.compile(r"\S+")
_SYMBOL_SIGN = re.compile(r".*\d|.+[A-Z]")
_BREAK = re.compile(r"[,.;:!?]\s|[()\[\]\n]")

_STOP_WORDS = (
    "a about after all also although an and any are as at be been before but by can could did do does during each for "
    "from had has have he her his how however i if in into is it its may more most no not of on only or other our out "
    "she so such than that the their them then there these they this those through to under up was we were what when "
    "where which while who will with within without would you"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that are no names."""


class Found(NamedTuple):
    """Names in texts, (names,) each, sorted by text and offset. Names of one label do not overlap.

    row: index of the text; start, end: offsets in it; label: index in the dictionary's labels
    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    label: NDArray[np.int64]


@dataclass(frozen=True)
class Dictionary:
    """Names as columns, sorted by key.

    key:      (names,) hash of the folded form
    case:     (names,) checksum of a symbol with its case, 0 for other names
    broken:   (names,) whether the name has punctuation of sentences or brackets, which others do not cross
    label:    (names,) index in `labels`
    bits:     Bloom filter of the keys, and of the first words of long names
    longest:  words of the longest name
    """

    key: NDArray[np.uint64]
    case: NDArray[np.uint32]
    broken: NDArray[np.bool_]
    label: NDArray[np.uint8]
    bits: NDArray[np.uint8]
    longest: int
    labels: tuple[str, ...]

    def find(self, texts: Sequence[str | None]) -> Found:
        """The longest names in some texts."""
        parts = [self._find(first, list(batch)) for first, batch in _batches(texts)]
        columns = zip(*parts, strict=True) if parts else [[np.empty(0, np.int64)]] * 4
        return Found(*(np.concatenate(column) for column in columns))

    def _find(self, first_row: int, texts: list[str]) -> Found:
        text = "\n".join(texts)
        words = _Words.of(text)
        begin = np.cumsum([0, *(len(one) + 1 for one in texts)])
        found = sorted({hit for run in self._runs(words) for hit in self._names(text, words, *run)})
        kept: list[tuple[int, int, int, int]] = []
        last_end = dict.fromkeys(range(len(self.labels)), -1)
        for start, length, label in found:
            end = start - length  # lengths are negative, so that the longest comes first
            number = int(np.searchsorted(begin, start, side="right")) - 1
            if start >= last_end[label] and end < begin[number + 1]:
                last_end[label] = end
                kept.append((first_row + number, start - int(begin[number]), end - int(begin[number]), label))
        return Found(*np.array(kept, np.int64).reshape(-1, 4).T)

    def _runs(self, words: "_Words") -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], int]]:
        """Runs of words that may be names: hash, first word, end, and 1 if the name lacks the last letter, a plural."""
        first = np.arange(len(words.start))
        for length in range(1, max(self.longest, _PREFIX) + 1):  # a word of a name may be several in a text
            first = first[: np.searchsorted(first, len(words.start) - length, side="right")]
            last = first + length - 1
            key = words.hashes(first, words.end[last])
            known = self._may_hold(key)
            yield key[known], first[known], words.end[last[known]], 0
            plural = np.flatnonzero(words.is_plural[last])
            key = words.hashes(first[plural], words.end[last[plural]] - 1)
            in_singular = self._may_hold(key)
            plural = plural[in_singular]
            yield key[in_singular], first[plural], words.end[last[plural]], 1
            if length >= _PREFIX:
                first = first[known] if length == _PREFIX else first

    def _may_hold(self, key: NDArray[np.uint64]) -> NDArray[np.int64]:
        bit = key & np.uint64(len(self.bits) * 8 - 1)
        return np.flatnonzero(self.bits[bit >> np.uint64(3)] >> (bit & np.uint64(7)).astype(np.uint8) & 1)

    def _names(
        self,
        text: str,
        words: "_Words",
        key: NDArray[np.uint64],
        first: NDArray[np.int64],
        end: NDArray[np.int64],
        dropped: int,
    ) -> Iterator[tuple[int, int, int]]:
        """Start, negative length and label of the runs that are names."""
        low = np.searchsorted(self.key, key)
        hits = np.flatnonzero(self.key[np.minimum(low, len(self.key) - 1)] == key)
        high = np.searchsorted(self.key, key[hits], side="right")
        for n, after in zip(hits.tolist(), high.tolist(), strict=True):
            start, stop = int(words.start[first[n]]), int(end[n])
            mention = text[start : stop - dropped]
            case, broken = crc32(cased_form(mention).encode()), _BREAK.search(mention) is not None
            for name in range(int(low[n]), after):
                if self.broken[name] == broken and (
                    not self.case[name] or (self.case[name] == case and not NAME_GOES_ON.match(text, stop))
                ):
                    yield start, start - stop, int(self.label[name])


def make_dictionary(names: Sequence[str], label: NDArray[np.integer], labels: Sequence[str]) -> Dictionary:
    """Compile names; `label` is the index of each one's label. Stop words, numbers and single letters are left out."""
    text = "\n".join(name.replace("\n", " ") for name in names)
    words = _Words.of(text)
    begin = np.cumsum([0, *(len(name) + 1 for name in names[:-1])])
    owner = np.searchsorted(begin, words.start, side="right") - 1
    count = np.bincount(owner, minlength=len(names))
    first = np.cumsum(count) - count
    is_name = np.array([_is_name(name) for name in names], np.bool_)
    kept = np.flatnonzero((count > 0) & (count <= MAX_WORDS) & is_name)
    key = words.hashes(first[kept], words.end[first[kept] + count[kept] - 1])
    long = kept[count[kept] > _PREFIX]
    prefix = words.hashes(first[long], words.end[first[long] + _PREFIX - 1])
    chosen = [names[n] for n in kept.tolist()]
    case = np.array([crc32(cased_form(name).encode()) if _is_cased(name) else 0 for name in chosen], np.uint32)
    broken = np.array([_BREAK.search(name) is not None for name in chosen], np.bool_)
    order = np.lexsort((label[kept], broken, case, key))
    key, case, broken, numbers = key[order], case[order], broken[order], label[kept][order].astype(np.uint8)
    new = np.ones(len(order), np.bool_)
    same = (key[1:] == key[:-1]) & (case[1:] == case[:-1]) & (broken[1:] == broken[:-1])
    new[1:] = ~same | (numbers[1:] != numbers[:-1])
    bits = np.zeros(1 << max(13, int(len(key) * _BITS_PER_NAME - 1).bit_length() - 3), np.uint8)
    bit = np.concatenate([key, prefix]) & np.uint64(len(bits) * 8 - 1)
    np.bitwise_or.at(bits, bit >> np.uint64(3), np.uint8(1) << (bit & np.uint64(7)).astype(np.uint8))
    longest = int(count[kept].max(initial=0))
    return Dictionary(key[new], case[new], broken[new], numbers[new], bits, longest, tuple(labels))


def _is_name(name: str) -> bool:
    letters = sum(map(str.isalpha, name))
    return letters > 0 and len(name.strip()) > 1 and name.strip() not in STOP_WORDS


def _is_cased(name: str) -> bool:
    """True for symbols: one word that is short, or has a digit or a capital after its first letter."""
    return is_symbol(name) or bool(_SYMBOL.fullmatch(name) and _SYMBOL_SIGN.match(name))


def _batches(texts: Sequence[str | None]) -> Iterator[tuple[int, list[str]]]:
    first, characters = 0, 0
    for n, text in enumerate(texts):
        characters += len(text or "")
        if characters >= BATCH_CHARACTERS or n == len(texts) - 1:
            yield first, [one or "" for one in texts[first : n + 1]]
            first, characters = n + 1, 0


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a text, and what hashes of any run of them are computed from.

    start, end, is_plural: (words,) offsets, and whether a word ends with an s that may mark a plural
    total, place: (characters + 1,) running sum of the characters' values, and folded characters before each
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    is_plural: NDArray[np.bool_]
    total: NDArray[np.uint64]
    place: NDArray[np.int64]

    @classmethod
    def of(cls, text: str) -> "_Words":
        value, length, inside = _alphabet()
        codes = np.minimum(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32), _CODES - 1)
        place = np.concatenate([[0], np.cumsum(length[codes], dtype=np.int64)])
        power, _ = _powers(int(place[-1]))
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(value[codes] * power[place[:-1]], dtype=np.uint64)])
        edge = np.diff(inside[codes].astype(np.int8), prepend=0, append=0)
        start, end = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
        before = codes[end - 2]
        is_plural = (codes[end - 1] == ord("s")) & (end - start > 3)
        is_plural &= (before != ord("s")) & (before != ord("u")) & (before != ord("i"))
        return cls(start, end, is_plural, total, place)

    def hashes(self, first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Hash of the characters from each first word to an offset."""
        start = self.start[first]
        _, inverse = _powers(int(self.place[-1]))
        key = (self.total[end] - self.total[start]) * inverse[self.place[start]]
        key ^= key >> np.uint64(32)
        key *= _BASE
        key ^= key >> np.uint64(29)
        return key


def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers of _BASE and of its inverse, for at least `count` characters."""
    return _powers_up_to(max(16, count.bit_length()))


@lru_cache(maxsize=2)
def _powers_up_to(bits: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    count = 1 << bits
    powers = [np.cumprod(np.full(count, base, np.uint64)) for base in (_BASE, _INVERSE)]
    one = np.ones(1, np.uint64)
    return np.concatenate([one, powers[0]]), np.concatenate([one, powers[1]])


@lru_cache(maxsize=1)
def _alphabet() -> tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.bool_]]:
    """By code point: value of its folded form, length of the form, and whether it is part of words."""
    letters = [" " if 0xD800 <= code < 0xE000 or chr(code).isspace() else chr(code) for code in range(_CODES)]
    forms = folded_words(letters)
    value = np.zeros(_CODES, np.uint64)
    for code, form in enumerate(forms):
        if form:
            value[code] = sum(ord(c) * pow(int(_BASE), n, 1 << 64) for n, c in enumerate(form) if c != " ") % (1 << 64)
    length = np.array([len(form.replace(" ", "")) for form in forms], np.uint8)
    inside = length > 0
    inside[_COMBINING] = True
    return value, length, inside
