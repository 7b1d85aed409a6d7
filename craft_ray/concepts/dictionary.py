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

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.context import HYPHENS, NAME_GOES_ON
from craft_ray.concepts.forms import cased_form, folded_words, is_symbol

BATCH_CHARACTERS = 1 << 17
"""Characters of texts that are searched together, few enough for a processor's cache."""

BATCH_NAMES = 20_000

MAX_WORDS = 15
"""Words of a name; longer ones are not found."""

_FIRST_CHARACTERS = 8
"""Folded characters of a name that a word and those behind it must begin with, unless the name is shorter."""

_FIRST_WORDS = 4
"""Words of a run from which on only runs that a name begins with are followed."""

_BITS_PER_NAME = 64
_SHIFTS = (0, 32)
"""Of a key, for the bits that it has in the filter."""

_CODES = 1 << 17
"""Code points; characters above are no part of names."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_COMBINING = slice(0x300, 0x370)

_SYMBOL = re.compile(r"\S+")
_SYMBOL_SIGN = re.compile(r".*\d|.+[A-Z]")

_STOP_WORDS = (
    "a about after all also although an and any are as at be been before but by can could did do does during each for "
    "from had has have he her his how however i if in into is it its may more most no not of on only or other our out "
    "she so such than that the their them then there these they this those through to under up was we were what when "
    "where which while who will with within without would you"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that are no names."""

Integers = NDArray[np.int64]


class Found(NamedTuple):
    """Names in texts, (names,) each, sorted by text and offset. Names of one label do not overlap.

    row: index of the text; start, end: offsets in it; label: index in the dictionary's labels
    """

    row: Integers
    start: Integers
    end: Integers
    label: Integers


@dataclass(frozen=True)
class Dictionary:
    """Names as columns, sorted by key.

    key:      (names,) hash of the folded form
    case:     (names,) hash of a symbol with its case, 0 for other names
    broken:   (names,) whether the name has punctuation of sentences or brackets, which others do not cross
    label:    (names,) index in `labels`
    bits:     Bloom filter of the keys, and of the first characters and words of long names
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
        parts = [self._find(first, batch) for first, batch in _batches(texts)]
        columns = zip(*parts, strict=True) if parts else [[np.empty(0, np.int64)]] * 4
        return Found(*(np.concatenate(column) for column in columns))

    def _find(self, first_row: int, texts: list[str]) -> Found:
        text = "\n".join(texts)
        words = _Words.of(text)
        start, end, label = self._names(text, words, *self._runs(words))
        begin = np.cumsum([0, *(len(one) + 1 for one in texts)])
        row = np.searchsorted(begin, start, side="right") - 1
        inside = end < begin[row + 1]
        row, start, end, label = (column[inside] for column in (row, start, end, label))
        kept = _longest(start + label * len(text), end + label * len(text))
        kept = kept[np.lexsort((label[kept], -end[kept], start[kept]))]
        row, start, end = row[kept], start[kept], end[kept]
        return Found(first_row + row, start - begin[row], end - begin[row], label[kept])

    def _runs(self, words: "_Words") -> tuple[Integers, Integers, Integers]:
        """Runs of words that may be names: first word, last word, and 1 if the name lacks the last letter, a plural."""
        begin, count = words.place[words.start], len(words.start)
        begins_name = self._begins_name(words, begin)
        runs: list[tuple[Integers, Integers]] = [(words.start[:0], words.start[:0])]
        for more in range(min(_FIRST_WORDS, count)):
            size = words.place[words.end[more:]] - begin[: count - more]
            first = np.flatnonzero(begins_name[: count - more] | (size <= _FIRST_CHARACTERS))
            runs.append((first, first + more))
        short = self._candidates(words, *map(np.concatenate, zip(*runs, strict=True)))
        long = short[0][(short[1] - short[0] == _FIRST_WORDS - 1) & (short[2] == 0)]
        last = long[:, None] + np.arange(_FIRST_WORDS, max(self.longest, _FIRST_WORDS))
        exists = last < count
        longer = self._candidates(words, np.broadcast_to(long[:, None], last.shape)[exists], last[exists])
        first, last, dropped = map(np.concatenate, zip(short, longer, strict=True))
        return first, last, dropped

    def _begins_name(self, words: "_Words", begin: Integers) -> NDArray[np.bool_]:
        """(words,) mask of those with which a name of _FIRST_CHARACTERS or more may begin."""
        after = np.minimum(begin + _FIRST_CHARACTERS, len(words.character))
        end = words.character[after - 1] + 1
        found: NDArray[np.bool_] = (
            words.place[end] != begin + _FIRST_CHARACTERS
        )  # within a character such as beta, or after the text
        found[self._filter(words.hashes(words.total, words.start, end))] = True
        return found

    def _candidates(self, words: "_Words", first: Integers, last: Integers) -> tuple[Integers, Integers, Integers]:
        """The runs that pass the filter, and those that pass it without a plural's last letter (`_runs`)."""
        plural = np.flatnonzero(words.is_plural[last])
        dropped = np.repeat([0, 1], [len(first), len(plural)])
        first, last = np.concatenate([first, first[plural]]), np.concatenate([last, last[plural]])
        passing = self._filter(words.hashes(words.total, words.start[first], words.end[last] - dropped))
        return first[passing], last[passing], dropped[passing]

    def _filter(self, key: NDArray[np.uint64]) -> Integers:
        """Indices of the keys that pass the Bloom filter: all that are in the dictionary, and few others."""
        passing = np.arange(len(key))
        for shift in _SHIFTS:
            byte, bit = _bit(key[passing] >> np.uint64(shift), len(self.bits))
            passing = passing[np.flatnonzero(self.bits[byte] & bit)]
        return passing

    def _names(
        self, text: str, words: "_Words", first: Integers, last: Integers, dropped: Integers
    ) -> tuple[Integers, Integers, Integers]:
        """Start, end and label of the runs that are names."""
        start, end = words.start[first], words.end[last] - dropped
        key = words.hashes(words.total, start, end)
        order = np.argsort(key)  # neighbours are near each other in memory
        low, high = (np.searchsorted(self.key, key[order], side) for side in ("left", "right"))
        run = np.repeat(order, high - low)
        name = np.arange(len(run)) - np.repeat(np.cumsum(high - low) - high, high - low)
        start, end, dropped = start[run], end[run], dropped[run]
        is_cased = self.case[name] > 0
        fits = self.broken[name] == words.are_broken(start, end)
        if is_cased.any():
            fits &= ~is_cased | (self.case[name] == words.case(start, end))
        stop = end + dropped
        next_sign = _alphabet().sign[words.codes[stop]]
        for n in np.flatnonzero(fits & is_cased & (next_sign == _HYPHEN)).tolist():
            fits[n] = not NAME_GOES_ON.match(text, int(stop[n]))
        return start[fits], stop[fits], self.label[name[fits]].astype(np.int64)


def _longest(start: Integers, end: Integers) -> Integers:
    """Indices of spans without those that overlap an earlier one, or a longer one with the same start."""
    order = np.lexsort((-end, start))
    start, end = start[order], end[order]
    kept = np.ones(len(order), np.bool_)
    kept[1:] = start[1:] >= np.maximum.accumulate(end)[:-1]
    for n in np.flatnonzero(~kept).tolist():  # those that overlap any earlier span, which may itself be left out
        if kept[n - 1]:
            last_end = end[n - 1]
        if start[n] >= last_end:
            kept[n], last_end = True, end[n]
    return order[kept]


def make_dictionary(names: Sequence[str], label: NDArray[np.integer], labels: Sequence[str]) -> Dictionary:
    """Compile names; `label` is the index of each one's label. Stop words, numbers and single letters are left out."""
    batches = range(0, max(1, len(names)), BATCH_NAMES)
    parts = [_columns(names[n : n + BATCH_NAMES], label[n : n + BATCH_NAMES]) for n in batches]
    key, case, broken, numbers, filtered, longest = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((numbers, broken, case, key))
    key, case, broken, numbers = key[order], case[order], broken[order], numbers[order]
    new = np.ones(len(order), np.bool_)
    same = (key[1:] == key[:-1]) & (case[1:] == case[:-1]) & (broken[1:] == broken[:-1])
    new[1:] = ~same | (numbers[1:] != numbers[:-1])
    bits = np.zeros(1 << max(13, int(len(key) * _BITS_PER_NAME - 1).bit_length() - 3), np.uint8)
    for shift in _SHIFTS:
        np.bitwise_or.at(bits, *_bit(filtered >> np.uint64(shift), len(bits)))
    return Dictionary(key[new], case[new], broken[new], numbers[new], bits, int(longest.max()), tuple(labels))


def _columns(names: Sequence[str], label: NDArray[np.integer]) -> tuple[NDArray[np.generic], ...]:
    """Columns of a dictionary for some names, then keys for its filter, and the words of the longest name."""
    text = "\n".join(name.replace("\n", " ") for name in names)
    words = _Words.of(text)
    begin = np.cumsum([0, *(len(name) + 1 for name in names[:-1])])
    count = np.bincount(np.searchsorted(begin, words.start, side="right") - 1, minlength=len(names))
    is_name = np.array([_is_name(name) for name in names], np.bool_)
    kept = np.flatnonzero((count > 0) & (count <= MAX_WORDS) & is_name)
    first = (np.cumsum(count) - count)[kept]
    start, end = words.start[first], words.end[first + count[kept] - 1]
    key = words.hashes(words.total, start, end)
    is_cased = np.array([_is_cased(names[n]) for n in kept.tolist()], np.bool_)
    case = np.where(is_cased, words.case(start, end), np.uint32(0))
    long = count[kept] > _FIRST_WORDS
    first_words = words.hashes(words.total, start[long], words.end[first[long] + _FIRST_WORDS - 1])
    folded = (name.replace(" ", "") for name in folded_words([names[n] for n in kept.tolist()]))
    beginnings = _Words.of("\n".join(name[:_FIRST_CHARACTERS] for name in folded if len(name) >= _FIRST_CHARACTERS))
    first_characters = beginnings.hashes(beginnings.total, beginnings.start, beginnings.end)
    filtered = np.concatenate([key, first_words, first_characters])
    length = np.array(list(map(len, names)), np.int64)
    broken = words.are_broken(begin[kept], (begin + length)[kept])
    return key, case, broken, label[kept].astype(np.uint8), filtered, count[kept]


def _bit(key: NDArray[np.uint64], size: int) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Index in a filter of some bytes, and the bit to set there, for each key."""
    bit = (key & np.uint64(size * 8 - 1)).astype(np.intp)
    return bit >> 3, np.uint8(1) << (bit & 7).astype(np.uint8)


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

    codes:            (characters + 1,) code points, and a line break
    start, end, is_plural: (words,) offsets, and whether a word ends with an s that may mark a plural
    total, place:     (characters + 1,) running sum of the characters' values, and folded characters before each
    character:        (folded characters,) offset of the character that each belongs to
    """

    codes: NDArray[np.intp]
    start: Integers
    end: Integers
    is_plural: NDArray[np.bool_]
    total: NDArray[np.uint64]
    place: Integers
    character: Integers

    @classmethod
    def of(cls, text: str) -> "_Words":
        alphabet = _alphabet()
        codes = np.frombuffer(f"{text}\n".encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.intp)
        np.minimum(codes, _CODES - 1, out=codes)
        length = alphabet.length[codes]
        place = np.zeros(len(codes), np.int64)
        np.cumsum(length[:-1], out=place[1:])
        inside = np.zeros(len(codes) + 1, np.bool_)
        inside[1:] = alphabet.inside[codes]
        edge = np.flatnonzero(inside[1:] != inside[:-1])
        start, end = edge[::2], edge[1::2]
        before = codes[end - 2]
        is_plural = (codes[end - 1] == ord("s")) & (end - start > 3)
        is_plural &= (before != ord("s")) & (before != ord("u")) & (before != ord("i"))
        total = _running_sum(alphabet.folded[codes], place)
        return cls(codes, start, end, is_plural, total, place, np.repeat(np.arange(len(length)), length))

    def hashes(self, total: NDArray[np.uint64], start: Integers, end: Integers) -> NDArray[np.uint64]:
        """Hash of the characters between offsets, by a running sum of their values."""
        _, inverse = _powers(int(self.place[-1]))
        key = (total[end] - total[start]) * inverse[self.place[start]]
        key ^= key >> np.uint64(32)
        key *= _BASE
        key ^= key >> np.uint64(29)
        return key

    def case(self, start: Integers, end: Integers) -> NDArray[np.uint32]:
        """Hash of the characters between offsets with their case; never 0."""
        total = _running_sum(_alphabet().cased[self.codes], self.place)
        return (self.hashes(total, start, end) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)

    def are_broken(self, start: Integers, end: Integers) -> NDArray[np.bool_]:
        """Whether there is a bracket, a line break or punctuation before a blank between offsets."""
        sign = _alphabet().sign[self.codes]
        breaks = np.flatnonzero((sign[1:] == _BREAK) | ((sign[1:] == _BLANK) & (sign[:-1] == _STOP))) + 1
        return np.searchsorted(breaks, end) > np.searchsorted(breaks, start)


def _running_sum(value: NDArray[np.uint64], place: Integers) -> NDArray[np.uint64]:
    """(characters + 1,) sums of the values of all characters before each, weighted by their place."""
    power, _ = _powers(int(place[-1]))
    total = np.zeros(len(value), np.uint64)
    np.cumsum(value[:-1] * power[place[:-1]], out=total[1:])
    return total


def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers of _BASE and of its inverse, for at least `count` characters."""
    return _powers_up_to(max(16, count.bit_length()))


@lru_cache(maxsize=2)
def _powers_up_to(bits: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    power, inverse = (np.full((1 << bits) + 1, base, np.uint64) for base in (_BASE, _INVERSE))
    power[0] = inverse[0] = 1
    return np.cumprod(power), np.cumprod(inverse)


_BLANK, _STOP, _BREAK, _HYPHEN = 1, 2, 3, 4
"""White space; punctuation that ends a part of a sentence before a blank; brackets and line breaks; hyphens."""


class _Alphabet(NamedTuple):
    """By code point: values of its folded and of its cased form, length of the former, whether it is part of words, and
    which sign it is.
    """

    folded: NDArray[np.uint64]
    cased: NDArray[np.uint64]
    length: NDArray[np.uint8]
    inside: NDArray[np.bool_]
    sign: NDArray[np.uint8]


@lru_cache(maxsize=1)
def _alphabet() -> _Alphabet:
    letters = [" " if 0xD800 <= code < 0xE000 or chr(code).isspace() else chr(code) for code in range(_CODES)]
    forms = [form.replace(" ", "") for form in folded_words(letters)]
    length = np.array([len(form) for form in forms], np.uint8)
    inside = length > 0
    inside[_COMBINING] = True
    sign = np.zeros(_CODES, np.uint8)
    sign[[code for code in range(_CODES) if chr(code).isspace()]] = _BLANK
    sign[[ord(c) for c in ",.;:!?"]] = _STOP
    sign[[ord(c) for c in "()[]\n"]] = _BREAK
    sign[[ord(c) for c in HYPHENS]] = _HYPHEN
    return _Alphabet(_values(forms), _values([cased_form(letter) for letter in letters]), length, inside, sign)


def _values(forms: Sequence[str]) -> NDArray[np.uint64]:
    powers = [pow(int(_BASE), n, 1 << 64) for n in range(max(map(len, forms)))]
    sums = (sum(ord(c) * power for c, power in zip(form, powers, strict=False)) for form in forms)
    return np.fromiter((one % (1 << 64) for one in sums), np.uint64, len(forms))
