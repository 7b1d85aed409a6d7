"""Mentions made consistent within a document: loose punctuation goes, and equal texts are decided alike; pure.

A network reads a window at a time, so of forty times that a document has `APP` it may miss five. A name rarely means
two things in one document: in CRAFT, 12 of 8,274 pairs of article and text have more than one concept. So the majority
of a text's occurrences decides for all of them, and an abbreviation is what its long form is. Only the document itself
decides, never what else is in its block.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.tags import Spans

PART = 100_000
"""Words of a document that are decided together, so that memory does not grow with a document's length."""

CHOSEN = 3
"""Mentions with one text and label from which they may be a majority."""

MOST_WORDS = 8
"""Longer mentions are looked for nowhere else."""

LOOSE_FIRST, LOOSE_LAST = "-–−‐‑,.;:/)]}", "-–−‐‑,.;:/([{"
"""Words that begin or end no mention."""

LONGEST_SHORT_FORM = 10
"""Letters of an abbreviation, as Schwartz and Hearst have it."""

_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_LENGTHS = np.uint64(0xC2B2AE3D27D4EB4F)


def refine(words: "Words", spans: Spans, score: NDArray[np.float32]) -> tuple[Spans, NDArray[np.float32]]:
    """The mentions of a document, trimmed, agreed and with abbreviations as their long forms, with their raw scores."""
    tidy, kept = trimmed(words, spans)
    return abbreviated(words, *agreed(words, tidy, score[kept]))


class Words:
    """The words of a document, or of a part of it, by the hash of any run of them.

    codes:      (length,) code points of the text
    start, end: (words,) offsets of words in it
    sentence:   (words,) number of each word's sentence
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
        """The words of a text."""
        return cls(np.frombuffer(text.encode("utf-32-le"), np.uint32), start, end, sentence)

    def keys(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.uint64]:
        """(runs,): equal for runs of words with equal texts."""
        start, end = self.start[first], self.end[last]
        length = (end - start).astype(np.uint64)
        return (self._sums[end] - self._sums[start]) * self._inverse[start] ^ length * _LENGTHS

    def text(self, first: int, last: int) -> str:
        """The text of a run of words."""
        return self.codes[self.start[first] : self.end[last]].tobytes().decode("utf-32-le")


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """1, base, base squared and so on, modulo 2**64."""
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


def trimmed(words: Words, spans: Spans) -> tuple[Spans, NDArray[np.int64]]:
    """Mentions without loose punctuation at their ends, and which of `spans` each was; those without a name are gone.

    A name has a letter or digit, or whatever else is no punctuation by itself.
    """
    alone = np.where(words.end - words.start == 1, words.codes[words.start], 0)
    loose_first, loose_last = (np.isin(alone, [ord(c) for c in chars]) for chars in (LOOSE_FIRST, LOOSE_LAST))
    sign = (alone < 128) & (alone > 0)
    sign[sign] = [not chr(code).isalnum() for code in alone[sign].tolist()]
    named = np.concatenate([[0], np.cumsum(~(sign | loose_first | loose_last))])
    kept = np.flatnonzero(named[spans.last + 1] > named[spans.first])
    first, last = spans.first[kept].copy(), spans.last[kept].copy()
    while (loose := loose_first[first]).any():
        first += loose
    while (loose := loose_last[last]).any():
        last -= loose
    return Spans(first, last, spans.label[kept]), kept


def agreed(words: Words, spans: Spans, score: NDArray[np.float32]) -> tuple[Spans, NDArray[np.float32]]:
    """The mentions of a document after its majorities, with raw scores, in order.

    A text may be a mention with one label in at least half of its occurrences, and in CHOSEN at least. Then it is one
    with that label in all; else in none. A mention that comes so has the mean score of those that
    were found, times the share that they are of all occurrences. Occurrences within other mentions do not count.
    """
    if not len(spans.first):
        return spans, score
    keys, example, number = np.unique(words.keys(spans.first, spans.last), return_index=True, return_inverse=True)
    votes = np.zeros((len(keys), int(spans.label.max()) + 1), np.int64)
    np.add.at(votes, (number, spans.label), 1)
    free = _free_occurrences(words, spans, np.unique(spans.last - spans.first + 1), keys)
    total, most, winner = votes.sum(1), votes.max(1), votes.argmax(1)
    occurrences = total + np.bincount(free.key, minlength=len(keys))
    everywhere = (most >= CHOSEN) & (2 * most >= occurrences)
    nowhere = (occurrences >= CHOSEN) & (2 * total < occurrences)
    of_winner = spans.label == winner[number]
    shared = np.bincount(number, weights=score * of_winner, minlength=len(keys)) / occurrences

    kept = ~nowhere[number]
    own = Spans(spans.first[kept], spans.last[kept], spans.label[kept])
    shown = zip(spans.first[example].tolist(), spans.last[example].tolist(), strict=True)
    texts = {k: words.text(*run) for k, run in enumerate(shown) if everywhere[k]}
    return _decided(words, own, score[kept], number[kept], free, texts, winner, shared)


def abbreviated(words: Words, spans: Spans, score: NDArray[np.float32]) -> tuple[Spans, NDArray[np.float32]]:
    """The mentions of a document with each abbreviation as the mention that defines it: `doxycycline (dox)`.

    Abbreviations are matched to long forms as in Schwartz and Hearst 2003, "A simple algorithm for identifying
    abbreviation definitions in biomedical text"; their plurals count as they do.
    """
    defined = _definitions(words, spans, score)
    if not defined:
        return spans, score
    order = np.argsort([_text_key(text) for text in defined])
    texts = [list(defined)[i] for i in order]
    keys = np.array([_text_key(text) for text in texts], np.uint64)
    label = np.array([defined[text][0] for text in texts], np.int64)
    shared = np.array([defined[text][1] for text in texts])
    sizes = np.unique([defined[text][2] for text in texts])
    mention_key = words.keys(spans.first, spans.last)
    number = np.minimum(np.searchsorted(keys, mention_key), len(keys) - 1)
    number = np.where(keys[number] == mention_key, number, -1)
    free = _free_occurrences(words, spans, sizes, keys)
    return _decided(words, spans, score, number, free, dict(enumerate(texts)), label, shared)


def _definitions(words: Words, spans: Spans, score: NDArray[np.float32]) -> dict[str, tuple[int, float, int]]:
    """Label, raw score and number of words of each abbreviation that a mention defines, and its plural or singular."""
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
    while last < len(words.start) and words.end[last] - words.start[first] <= LONGEST_SHORT_FORM:
        following = last + 1
        if following < len(words.start) and chr(words.codes[words.start[following]]) in "),;":
            return words.text(first, last), following - first
        if following >= len(words.start) or words.start[following] != words.end[last]:
            break
        last = following
    return "", 0


def is_short_form(short: str, long: str) -> bool:
    """True if an abbreviation's letters and digits occur in order in its long form, the first at a word's start.

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
    """Runs of words: first word, last word and number of the key of each."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    key: NDArray[np.int64]


def _free_occurrences(words: Words, spans: Spans, sizes: NDArray[np.integer], keys: NDArray[np.uint64]) -> _Occurrences:
    """The runs of so many words with one of the sorted keys that share no word with a mention, longest first."""
    edges = np.zeros(len(words.start) + 1, np.int64)
    np.add.at(edges, spans.first, 1)
    np.add.at(edges, spans.last + 1, -1)
    covered = np.concatenate([[0], np.cumsum(np.cumsum(edges[:-1]) > 0)])  # (words + 1,): covered words before each
    parts = [_Occurrences(*(np.empty(0, np.int64) for _ in range(3)))]
    for size in sizes[sizes <= MOST_WORDS][::-1].tolist():
        first = np.arange(len(words.start) - size + 1)
        last = first + size - 1
        possible = (covered[last + 1] == covered[first]) & (words.sentence[first] == words.sentence[last])
        first, last = first[possible], last[possible]
        key = words.keys(first, last)
        number = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        found = keys[number] == key
        parts.append(_Occurrences(first[found], last[found], number[found]))
    return _Occurrences(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _decided(
    words: Words,
    spans: Spans,
    score: NDArray[np.float32],
    number: NDArray[np.int64],
    free: _Occurrences,
    texts: Mapping[int, str],
    label: NDArray[np.int64],
    shared: NDArray[np.float64],
) -> tuple[Spans, NDArray[np.float32]]:
    """Mentions in order, after those whose text is decided took its label and its free occurrences joined them.

    number: (mentions,) of each mention's text, -1 for one that is none of the texts
    texts:  those that are decided, by number; label, shared: (texts,) label of each, and the raw score of what changes
    """
    decided = np.isin(number, list(texts))
    changed = decided & (spans.label != label[number])
    joining = []
    taken: set[int] = set()
    for i, (first, last, key) in enumerate(zip(*(column.tolist() for column in free), strict=True)):
        # Texts are compared, for different texts may have equal keys.
        if key in texts and taken.isdisjoint(range(first, last + 1)) and words.text(first, last) == texts[key]:
            taken.update(range(first, last + 1))
            joining.append(i)
    new = np.array(joining, np.int64)
    first = np.concatenate([spans.first, free.first[new]])
    order = np.argsort(first, kind="stable")
    labels = np.concatenate([np.where(changed, label[number], spans.label), label[free.key[new]]])
    scores = np.concatenate([np.where(changed, shared[number], score), shared[free.key[new]]])
    last = np.concatenate([spans.last, free.last[new]])
    return Spans(first[order], last[order], labels[order].astype(np.int8)), scores[order].astype(np.float32)


def _text_key(text: str) -> int:
    """The key that `Words.keys` gives a run with this text."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    whole = np.zeros(1, np.int64)
    return int(Words(codes, whole, whole + len(codes), whole).keys(whole, whole)[0])
