"""Make labels consistent within a document, and trim stray punctuation from mentions.

A network sees one window at a time, so it may miss five of forty occurrences of `APP`. A name rarely has two meanings
in one document: in CRAFT, 12 of 8,274 pairs of article and text have more than one concept. So the majority of the
occurrences of a text decides for all of them, and an abbreviation gets the label of its long form. Other documents of
the block have no influence.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.tags import Spans

MAX_WORDS = 100_000
"""Longer documents are refined in parts, which bounds memory."""

MIN_MAJORITY = 3
"""Mentions of one text with one label that can form a majority."""

MAX_MENTION_WORDS = 8
"""Other occurrences are searched for mentions up to this length only."""

STRAY_FIRST, STRAY_LAST = "-–−‐‑,.;:/)]}", "-–−‐‑,.;:/([{"
"""Words that are trimmed from the beginning and the end of mentions."""

MAX_ABBREVIATION = 10
"""Characters, as in Schwartz and Hearst."""

_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_LENGTH_FACTOR = np.uint64(0xC2B2AE3D27D4EB4F)


def refine(words: "Words", spans: Spans, score: NDArray[np.float32]) -> tuple[Spans, NDArray[np.float32]]:
    """Trim the mentions of a document, then apply majorities and abbreviations. Returns them with their raw scores."""
    tidy, kept = trim(words, spans)
    return apply_abbreviations(words, *apply_majorities(words, tidy, score[kept]))


class Words:
    """The words of a document or of a part of it, with a hash for any run of consecutive words.

    codes:      (length,) code points of the text
    start, end: (words,) offsets of words in the text
    sentence:   (words,) sentence number of each word
    """

    def __init__(
        self,
        codes: NDArray[np.uint32],
        start: NDArray[np.int64],
        end: NDArray[np.int64],
        sentence: NDArray[np.integer],
    ) -> None:
        self.codes, self.start, self.end, self.sentence = codes, start, end, sentence
        powers = _powers(_BASE, len(codes) + 1)
        self._inverse = _powers(_INVERSE, len(codes) + 1)
        self._sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum((codes.astype(np.uint64) + np.uint64(1)) * powers[:-1], out=self._sums[1:])

    @classmethod
    def of(cls, text: str, start: NDArray[np.int64], end: NDArray[np.int64], sentence: NDArray[np.integer]) -> "Words":
        return cls(_codes(text), start, end, sentence)

    def keys(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.uint64]:
        """(runs,) polynomial hashes of the texts from word `first` to word `last`."""
        start, end = self.start[first], self.end[last]
        length = (end - start).astype(np.uint64)
        return (self._sums[end] - self._sums[start]) * self._inverse[start] ^ length * _LENGTH_FACTOR

    def text(self, first: int, last: int) -> str:
        return self.codes[self.start[first] : self.end[last]].tobytes().decode("utf-32-le")


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """1, base, base squared and so on, modulo 2**64."""
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


def _text_key(text: str) -> int:
    """The key that `Words.keys` gives a run with this text."""
    whole = np.zeros(1, np.int64)
    return int(Words.of(text, whole, whole + len(text), whole).keys(whole, whole)[0])


def trim(words: Words, spans: Spans) -> tuple[Spans, NDArray[np.int64]]:
    """Trim stray punctuation from mentions, and drop mentions that consist of punctuation only.

    Returns the mentions and the index of each in `spans`.
    """
    single = np.where(words.end - words.start == 1, words.codes[words.start], 0)
    stray_first, stray_last = (np.isin(single, [ord(c) for c in chars]) for chars in (STRAY_FIRST, STRAY_LAST))
    sign = (single < 128) & (single > 0)
    sign[sign] = [not chr(code).isalnum() for code in single[sign].tolist()]
    names_before = np.concatenate([[0], np.cumsum(~(sign | stray_first | stray_last))])
    kept = np.flatnonzero(names_before[spans.last + 1] > names_before[spans.first])
    first, last = spans.first[kept].copy(), spans.last[kept].copy()
    while (stray := stray_first[first]).any():
        first += stray
    while (stray := stray_last[last]).any():
        last -= stray
    return Spans(first, last, spans.label[kept]), kept


def apply_majorities(words: Words, spans: Spans, score: NDArray[np.float32]) -> tuple[Spans, NDArray[np.float32]]:
    """Give all occurrences of a text in a document the label of the majority.

    If at least half of the occurrences of a text, and at least MIN_MAJORITY, are mentions with one label, all become
    mentions with that label. If fewer than half of at least MIN_MAJORITY occurrences are mentions, none stays one.
    Occurrences inside other mentions do not count. A mention that is added or relabelled gets the mean score of the
    majority, times the majority's share of all occurrences.
    """
    if not len(spans.first):
        return spans, score
    keys, example, number = np.unique(words.keys(spans.first, spans.last), return_index=True, return_inverse=True)
    votes = np.zeros((len(keys), int(spans.label.max()) + 1), np.int64)
    np.add.at(votes, (number, spans.label), 1)
    free = _free_occurrences(words, spans, np.unique(spans.last - spans.first + 1), keys)
    total, most, winner = votes.sum(1), votes.max(1), votes.argmax(1)
    occurrences = total + np.bincount(free.key, minlength=len(keys))
    everywhere = (most >= MIN_MAJORITY) & (2 * most >= occurrences)
    nowhere = (occurrences >= MIN_MAJORITY) & (2 * total < occurrences)
    of_winner = spans.label == winner[number]
    new_score = np.bincount(number, weights=score * of_winner, minlength=len(keys)) / occurrences

    kept = ~nowhere[number]
    remaining = Spans(spans.first[kept], spans.last[kept], spans.label[kept])
    examples = zip(spans.first[example].tolist(), spans.last[example].tolist(), strict=True)
    texts = {k: words.text(*run) for k, run in enumerate(examples) if everywhere[k]}
    return _apply(words, remaining, score[kept], number[kept], free, texts, winner, new_score)


def apply_abbreviations(words: Words, spans: Spans, score: NDArray[np.float32]) -> tuple[Spans, NDArray[np.float32]]:
    """Give each abbreviation that a mention defines, as in `doxycycline (dox)`, the label of that mention.

    Abbreviations are matched to long forms as in Schwartz and Hearst 2003, "A simple algorithm for identifying
    abbreviation definitions in biomedical text". Their plurals are treated alike.
    """
    defined = _definitions(words, spans, score)
    if not defined:
        return spans, score
    unsorted = np.array([_text_key(text) for text in defined], np.uint64)
    order = np.argsort(unsorted)
    texts = [list(defined)[i] for i in order]
    keys = unsorted[order]
    label = np.array([defined[text][0] for text in texts], np.int64)
    new_score = np.array([defined[text][1] for text in texts])
    sizes = np.unique([defined[text][2] for text in texts])
    mention_key = words.keys(spans.first, spans.last)
    number = np.minimum(np.searchsorted(keys, mention_key), len(keys) - 1)
    number = np.where(keys[number] == mention_key, number, -1)
    free = _free_occurrences(words, spans, sizes, keys)
    return _apply(words, spans, score, number, free, dict(enumerate(texts)), label, new_score)


def _definitions(words: Words, spans: Spans, score: NDArray[np.float32]) -> dict[str, tuple[int, float, int]]:
    """Label, raw score and number of words of each abbreviation that a mention defines, and of its other number."""
    opens = np.append(words.codes[words.start] == ord("("), np.zeros(5, np.bool_))
    labels: dict[str, Counter[int]] = {}
    found: dict[str, tuple[float, int]] = {}
    for i in np.flatnonzero(opens[spans.last + 1]).tolist():
        short, size = _in_brackets(words, int(spans.last[i]) + 2)
        if short and is_short_form(short, words.text(int(spans.first[i]), int(spans.last[i]))):
            other = short[:-1] if short.endswith("s") else f"{short}s"
            for text in (short, other) if len(other) > 1 else (short,):
                labels.setdefault(text, Counter())[int(spans.label[i])] += 1
                found.setdefault(text, (float(score[i]), size))
    return {text: (labels[text].most_common(1)[0][0], *found[text]) for text in labels}


def _in_brackets(words: Words, first: int) -> tuple[str, int]:
    """The text without blanks from a word up to a closing bracket, comma or semicolon, and its number of words."""
    last = first
    while last < len(words.start) and words.end[last] - words.start[first] <= MAX_ABBREVIATION:
        following = last + 1
        if following < len(words.start) and chr(words.codes[words.start[following]]) in "),;":
            return words.text(first, last), following - first
        if following >= len(words.start) or words.start[following] != words.end[last]:
            break
        last = following
    return "", 0


def is_short_form(short: str, long: str) -> bool:
    """True if the letters and digits of `short` occur in order in `long`, the first one at the start of a word.

    >>> is_short_form("dox", "doxycycline"), is_short_form("RPCs", "retinal progenitor cells")
    (True, True)
    >>> is_short_form("GFP", "retinal progenitor cells"), is_short_form("1", "interleukin-1")
    (False, False)
    """
    if not 2 <= len(short) < len(long) or not any(letter.isalpha() for letter in short):
        return False
    letters = [letter for letter in short.casefold().removesuffix("s") if letter.isalnum()]
    folded, at = long.casefold(), len(long.casefold())
    for number, letter in reversed(list(enumerate(letters))):
        at = folded.rfind(letter, 0, at)
        while number == 0 and at > 0 and folded[at - 1].isalnum():
            at = folded.rfind(letter, 0, at)
        if at < 0:
            return False
    return bool(letters)


class _Occurrences(NamedTuple):
    """Runs of words as columns; `key` is the index of each run's key in the sorted keys."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    key: NDArray[np.int64]


def _free_occurrences(words: Words, spans: Spans, sizes: NDArray[np.integer], keys: NDArray[np.uint64]) -> _Occurrences:
    """Runs of words with one of the sorted keys that overlap no mention and cross no sentence, longest first.

    sizes: numbers of words to try
    """
    edges = np.zeros(len(words.start) + 1, np.int64)
    np.add.at(edges, spans.first, 1)
    np.add.at(edges, spans.last + 1, -1)
    covered = np.concatenate([[0], np.cumsum(np.cumsum(edges[:-1]) > 0)])  # number of covered words before each word
    parts = [_Occurrences(*(np.empty(0, np.int64) for _ in range(3)))]
    for size in sizes[sizes <= MAX_MENTION_WORDS][::-1].tolist():
        first = np.arange(len(words.start) - size + 1)
        last = first + size - 1
        possible = (covered[last + 1] == covered[first]) & (words.sentence[first] == words.sentence[last])
        first, last = first[possible], last[possible]
        key = words.keys(first, last)
        number = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        found = keys[number] == key
        parts.append(_Occurrences(first[found], last[found], number[found]))
    return _Occurrences(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _apply(
    words: Words,
    spans: Spans,
    score: NDArray[np.float32],
    number: NDArray[np.int64],
    free: _Occurrences,
    texts: Mapping[int, str],
    label: NDArray[np.int64],
    new_score: NDArray[np.float64],
) -> tuple[Spans, NDArray[np.float32]]:
    """Relabel the mentions of the given texts and add their free occurrences. Returns all mentions in order.

    number: (mentions,) index of each mention's text, -1 for a text that does not take part
    texts:  the texts to apply, by index
    label, new_score: (texts,) label, and raw score of the mentions that are added or relabelled
    """
    changed = np.isin(number, list(texts)) & (spans.label != label[number])
    added = []
    taken: set[int] = set()
    for i, (first, last, key) in enumerate(zip(*(column.tolist() for column in free), strict=True)):
        # Compare texts as well, since different texts may have equal keys.
        if key in texts and taken.isdisjoint(range(first, last + 1)) and words.text(first, last) == texts[key]:
            taken.update(range(first, last + 1))
            added.append(i)
    new = np.array(added, np.int64)
    first = np.concatenate([spans.first, free.first[new]])
    order = np.argsort(first, kind="stable")
    labels = np.concatenate([np.where(changed, label[number], spans.label), label[free.key[new]]])
    scores = np.concatenate([np.where(changed, new_score[number], score), new_score[free.key[new]]])
    last = np.concatenate([spans.last, free.last[new]])
    return Spans(first[order], last[order], labels[order].astype(np.int8)), scores[order].astype(np.float32)
