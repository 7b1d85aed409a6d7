"""Mentions made consistent within a document: loose punctuation goes, and equal texts are decided alike; pure.

A network reads a window at a time, so of forty times that a document has `APP` it may miss five. A name rarely means
two things in one document: in CRAFT, 12 of 8,274 pairs of article and text have more than one concept. So the majority
of a text's occurrences decides for all of them. Only the document itself decides, never what else is in its block.
"""

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

_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_LENGTHS = np.uint64(0xC2B2AE3D27D4EB4F)


def refine(words: "Words", spans: Spans, score: NDArray[np.float32]) -> tuple[Spans, NDArray[np.float32]]:
    """The mentions of a document trimmed and agreed, with their raw scores."""
    tidy, kept = trimmed(words, spans)
    return agreed(words, tidy, score[kept])


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

    def same(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        """True if two runs of words have equal texts."""
        a, b = (self.codes[self.start[first] : self.end[last]] for first, last in (one, other))
        return np.array_equal(a, b)


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

    A text that is a mention with one label in at least half of its occurrences, and in CHOSEN at least, is one with
    that label in all. If it is a mention in fewer, in none. A mention that comes so has the mean score of those that
    were found, times the share that they are of all occurrences. Occurrences within other mentions do not count.
    """
    if not len(spans.first):
        return spans, score
    keys, example, mention_key = np.unique(words.keys(spans.first, spans.last), return_index=True, return_inverse=True)
    votes = np.zeros((len(keys), int(spans.label.max()) + 1), np.int64)
    np.add.at(votes, (mention_key, spans.label), 1)
    covered = _covered(len(words.start), spans)
    free_first, free_last, free_key = _free_occurrences(words, spans, keys, covered)
    total, most, winner = votes.sum(1), votes.max(1), votes.argmax(1).astype(np.int8)
    occurrences = total + np.bincount(free_key, minlength=len(keys))
    everywhere = (most >= CHOSEN) & (2 * most >= occurrences)
    nowhere = (occurrences >= CHOSEN) & (2 * total < occurrences)
    of_winner = spans.label == winner[mention_key]
    mean = np.bincount(mention_key, weights=score * of_winner, minlength=len(keys)) / most
    shared = (mean * most / occurrences).astype(np.float32)

    kept = ~nowhere[mention_key]
    changed = everywhere[mention_key] & ~of_winner
    label = np.where(changed, winner[mention_key], spans.label)
    raw = np.where(changed, shared[mention_key], score)
    free_at = [
        i
        for i in _apart(free_first, free_last, everywhere[free_key], covered)
        if words.same((free_first[i], free_last[i]), _run(spans, example[free_key[i]]))
    ]
    new = np.array(free_at, np.int64)
    first = np.concatenate([spans.first[kept], free_first[new]])
    order = np.argsort(first, kind="stable")
    result = Spans(
        first[order],
        np.concatenate([spans.last[kept], free_last[new]])[order],
        np.concatenate([label[kept], winner[free_key[new]]])[order].astype(np.int8),
    )
    return result, np.concatenate([raw[kept], shared[free_key[new]]])[order].astype(np.float32)


def _run(spans: Spans, number: int) -> tuple[int, int]:
    return int(spans.first[number]), int(spans.last[number])


def _covered(count: int, spans: Spans) -> NDArray[np.int64]:
    """(words + 1,): words within mentions before each word."""
    edges = np.zeros(count + 1, np.int64)
    np.add.at(edges, spans.first, 1)
    np.add.at(edges, spans.last + 1, -1)
    return np.concatenate([[0], np.cumsum(np.cumsum(edges[:-1]) > 0)])


def _free_occurrences(
    words: Words, spans: Spans, keys: NDArray[np.uint64], covered: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """First word, last word and number of the key of each occurrence that touches no mention, longest first."""
    firsts, lasts, numbers = ([np.empty(0, np.int64)] for _ in range(3))
    sizes = np.unique(spans.last - spans.first + 1)
    for size in sizes[sizes <= MOST_WORDS][::-1]:
        first = np.arange(len(words.start) - size + 1)
        last = first + size - 1
        possible = (covered[last + 1] == covered[first]) & (words.sentence[first] == words.sentence[last])
        first, last = first[possible], last[possible]
        key = words.keys(first, last)
        number = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        found = keys[number] == key
        firsts.append(first[found])
        lasts.append(last[found])
        numbers.append(number[found])
    return np.concatenate(firsts), np.concatenate(lasts), np.concatenate(numbers)


def _apart(
    first: NDArray[np.int64], last: NDArray[np.int64], wanted: NDArray[np.bool_], covered: NDArray[np.int64]
) -> list[int]:
    """The wanted runs that share no word with an earlier wanted one."""
    taken = np.zeros(len(covered), np.bool_)
    apart = []
    for i in np.flatnonzero(wanted).tolist():
        if not taken[first[i] : last[i] + 1].any():
            taken[first[i] : last[i] + 1] = True
            apart.append(i)
    return apart
