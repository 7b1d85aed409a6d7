"""Make labels consistent within a document, and trim stray punctuation from mentions.

A network sees one window at a time, so it may miss five of forty occurrences of `APP`. A name rarely has two meanings
in one document: in CRAFT, 12 of 8,274 pairs of article and text have more than one concept. So the majority of the
occurrences of a text decides for all of them, an abbreviation gets the label of its long form, and a name that is glued
to something else is cut off. Mentions of another scope, which are those of other documents and of other groups of
labels, have no influence.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_MAJORITY = 3
"""Mentions of one text with one label that can form a majority."""

MAX_MENTION = 100
"""Characters of the longest mentions of which other occurrences are searched."""

STRAY_FIRST, STRAY_LAST = "-–−‐‑,.;:/)]}", "-–−‐‑,.;:/([{"
"""Characters that are trimmed from the beginning and the end of mentions."""

MIN_NAME = 4
"""Characters of the shortest name that is cut off a word."""

_BRACKETS = re.compile(r"\s*\(\s*([^\s),;]{1,10})\s*[),;]")
"""An abbreviation behind its long form, of at most ten characters as in Schwartz and Hearst."""

_GLUED = re.compile(r"\d[^\W\d_]{2}|[^\W_](?=[A-Z])[^\W\d_]{3}")
"""The last character of a name, and the beginning of another one that is glued to it."""

_CACHED = 100_000
"""Distinct mentions whose form is remembered."""


@dataclass(frozen=True, slots=True)
class Mentions:
    """Mentions as columns, sorted by scope and offset, and disjoint within a scope; offsets count as those of `Words`.

    scope: number of the document, or part of one, times the number of groups of labels, plus the group
    """

    scope: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]

    def take(self, rows: NDArray[Any]) -> "Mentions":
        return Mentions(self.scope[rows], self.start[rows], self.end[rows], self.label[rows], self.score[rows])


@dataclass(frozen=True)
class Words:
    """The words of all documents, as columns (words,). Offsets count in the documents' joined texts.

    sentence: sentence number
    part:     number of the document, or of a part of a long one
    limits:   (documents,) end of each document's text
    groups:   number of groups of labels
    """

    text: str
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    sentence: NDArray[np.int64]
    part: NDArray[np.int64]
    limits: NDArray[np.int64]
    groups: int = 1

    def slices(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> list[str]:
        text = self.text
        return [text[a:b] for a, b in zip(start.tolist(), end.tolist(), strict=True)]

    def first_words(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> list[str]:
        """The first word of the text between two offsets, which may begin or end within a word."""
        return self.slices(start, np.minimum(self.end[np.searchsorted(self.end, start, side="right")], end))

    def occurrences(self, texts: Sequence[tuple[int, str]], first_words: Sequence[str]) -> NDArray[np.int64]:
        """Where texts stand as whole words of one sentence: (occurrences, 3) index of the text, start and end.

        texts: with the scope of each, whose document is searched
        """
        wanted: defaultdict[tuple[int, str], list[tuple[int, str]]] = defaultdict(list)
        for number, ((scope, text), word) in enumerate(zip(texts, first_words, strict=True)):
            wanted[scope // self.groups, word].append((number, text))
        likely = self._like(list(wanted))
        starts, matches = self.start[likely], self.text.startswith
        keys = zip(self.part[likely].tolist(), self.slices(starts, self.end[likely]), strict=True)
        found = [
            (index, word)
            for word, begin, key in zip(likely.tolist(), starts.tolist(), keys, strict=True)
            for index, text in wanted.get(key, ())
            if matches(text, begin)
        ]
        index, first = np.array(found, np.int64).reshape(-1, 2).T
        start = self.start[first]
        end = start + np.array([len(text) for _, text in texts], np.int64)[index]
        last = np.searchsorted(self.end, end, side="right") - 1
        whole = (self.end[last] == end) & (self.sentence[last] == self.sentence[first])
        occurrences: NDArray[np.int64] = np.column_stack([index, start, end])[whole]
        return occurrences

    def _like(self, keys: Sequence[tuple[int, str]]) -> NDArray[np.int64]:
        """Numbers of the words that may be among some, each with its part: those of a like length, begin and end."""
        forms = [(part, len(word), ord(word[0]), ord(word[-1])) for part, word in keys]
        wanted = np.zeros(1 << 18, np.bool_)
        wanted[_hash(*np.array(forms, np.int64).reshape(-1, 4).T)] = True
        likely: NDArray[np.int64] = np.flatnonzero(wanted[self._forms])
        return likely

    @cached_property
    def _forms(self) -> Any:
        code = np.frombuffer(f"{self.text}\0".encode("utf-32-le"), np.int32)  # a word without text may be at the end
        return _hash(self.part, self.end - self.start, code[self.start], code[self.end - 1])


def _hash(part: Any, length: Any, first: Any, last: Any) -> Any:
    return (part * 31 + length * 7919 + first * 104_729 + last * 1009) & 0x3FFFF


def refine(words: Words, mentions: Mentions, cut_words: bool = False) -> Mentions:
    """Trim mentions, then apply majorities and abbreviations.

    cut_words: cut names off words, for models whose mentions may end within words
    """
    trims = np.array([trimmed(text) for text in words.slices(mentions.start, mentions.end)], np.int64).reshape(-1, 2)
    start, end = mentions.start + trims[:, 0], mentions.start + trims[:, 1]
    mentions = replace(mentions, start=start, end=end).take(end > start)
    if cut_words:
        mentions = _cut_names(words, mentions)
    return _apply_abbreviations(words, _apply_majorities(words, mentions))


@lru_cache(_CACHED)
def trimmed(mention: str) -> tuple[int, int]:
    """Start and end of a mention without stray punctuation; two zeros if there is nothing else."""
    if all(_is_punctuation(sign) or sign.isspace() for sign in mention):
        return 0, 0
    start, end = 0, len(mention)
    while mention[start] in STRAY_FIRST or mention[start].isspace():
        start += 1
    while mention[end - 1] in STRAY_LAST or mention[end - 1].isspace():
        end -= 1
    return start, end


def _is_punctuation(sign: str) -> bool:
    return sign in STRAY_FIRST or sign in STRAY_LAST or (sign.isascii() and not sign.isalnum())


@lru_cache(_CACHED)
def _glued(name: str) -> tuple[int, ...]:
    """Where another name may begin within one: two letters or more after a digit, or three or more from a capital.

    So isoforms (`E2f3a`) and plurals stay whole.
    """
    return tuple(size for size in range(MIN_NAME, len(name) - 1) if _GLUED.match(name, size - 1))


def _cut_names(words: Words, mentions: Mentions) -> Mentions:
    """Cut a word that begins with a name that is a mention elsewhere: `Isl1Cre` where `Isl1` is one."""
    texts = words.slices(mentions.start, mentions.end)
    scopes, labels, end = mentions.scope.tolist(), mentions.label.tolist(), mentions.end.copy()
    names = set(zip(scopes, labels, texts, strict=True))
    for n, sizes in enumerate(map(_glued, texts)):
        for size in sizes:
            if (scopes[n], labels[n], texts[n][:size]) in names:
                end[n] = mentions.start[n] + size
                break
    return replace(mentions, end=end)


def _apply_majorities(words: Words, mentions: Mentions) -> Mentions:
    """Give all occurrences of a text in a document the label of the majority.

    If at least half of the occurrences of a text, and at least MIN_MAJORITY, are mentions with one label, all become
    mentions with that label. If fewer than half of at least MIN_MAJORITY occurrences are mentions, none stays one.
    Occurrences inside other mentions do not count. A mention that is added or relabelled gets the mean score of the
    majority, times the majority's share of all occurrences.
    """
    index_of: dict[tuple[int, str], int] = {}
    names = zip(mentions.scope.tolist(), words.slices(mentions.start, mentions.end), strict=True)
    own = np.array([index_of.setdefault(name, len(index_of)) for name in names], np.int64)
    texts, scopes = list(index_of), np.array([scope for scope, _ in index_of], np.int64)
    example = np.zeros(len(texts), np.int64)
    example[own] = np.arange(len(own))
    first_words = words.first_words(mentions.start[example], mentions.end[example])
    free = _free_occurrences(words, mentions, texts, first_words)

    labels = mentions.label.max(initial=0) + 1
    pairs, pair, votes = np.unique(own * labels + mentions.label, return_inverse=True, return_counts=True)
    order = np.lexsort((pairs, -votes, pairs // labels))
    best = order[np.unique(pairs[order] // labels, return_index=True)[1]]
    most, total = votes[best], np.bincount(own, minlength=len(texts))
    occurrences = total + np.bincount(free[:, 0], minlength=len(texts))
    decided = (most >= MIN_MAJORITY) & (2 * most >= occurrences)
    dropped = ~decided & (occurrences >= MIN_MAJORITY) & (2 * total < occurrences)
    score = np.bincount(pair, mentions.score, len(pairs))[best] / occurrences
    kept = ~dropped[own]
    of_mention = np.where(decided, np.arange(len(texts)), -1)[own]
    scopes = np.array([scope for scope, _ in texts], np.int64)
    return _decide(
        mentions.take(kept), of_mention[kept], free[decided[free[:, 0]]], scopes, pairs[best] % labels, score
    )


def _apply_abbreviations(words: Words, mentions: Mentions) -> Mentions:
    """Give each abbreviation that a mention defines, as in `doxycycline (dox)`, the label and score of that mention.

    Abbreviations are matched to long forms as in Schwartz and Hearst 2003, "A simple algorithm for identifying
    abbreviation definitions in biomedical text". Their plurals are treated alike. Of several definitions the most
    frequent label counts.
    """
    text = words.text
    limits = words.limits[np.searchsorted(words.limits, mentions.end)].tolist()
    labels: dict[tuple[int, str], Counter[int]] = {}
    scores: dict[tuple[int, str], float] = {}
    first_words: dict[tuple[int, str], str] = {}
    for n, (end, limit) in enumerate(zip(mentions.end.tolist(), limits, strict=True)):
        found = _BRACKETS.match(text, end, limit)
        if not found or not is_short_form(found[1], text[mentions.start[n] : end]):
            continue
        short, scope = found[1], int(mentions.scope[n])
        (first_word,) = words.first_words(*(np.array([at]) for at in found.span(1)))
        other = short[:-1] if short.endswith("s") else f"{short}s"
        for form in (short, other) if len(other) > 1 else (short,):
            labels.setdefault((scope, form), Counter())[int(mentions.label[n])] += 1
            scores.setdefault((scope, form), float(mentions.score[n]))
            first_words[scope, form] = form if first_word == short else first_word
    if not labels:
        return mentions
    forms = list(labels)
    free = _free_occurrences(words, mentions, forms, [first_words[form] for form in forms])
    index_of = {form: index for index, form in enumerate(forms)}
    label = np.array([counts.most_common(1)[0][0] for counts in labels.values()], np.int64)
    scopes = np.array([scope for scope, _ in forms], np.int64)
    near = np.flatnonzero(np.isin(mentions.scope, scopes))
    own = np.full(len(mentions.scope), -1)
    names = zip(mentions.scope[near].tolist(), words.slices(mentions.start[near], mentions.end[near]), strict=True)
    own[near] = [index_of.get(name, -1) for name in names]
    return _decide(mentions, own, free, scopes, label, np.array(list(scores.values())))


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


def _free_occurrences(
    words: Words, mentions: Mentions, texts: Sequence[tuple[int, str]], first_words: Sequence[str]
) -> NDArray[np.int64]:
    """Occurrences of texts that overlap no mention of their scope, as `Words.occurrences` returns them."""
    short = [index for index, (_, text) in enumerate(texts) if len(text) <= MAX_MENTION]
    found = words.occurrences([texts[index] for index in short], [first_words[index] for index in short])
    found[:, 0] = np.array(short, np.int64)[found[:, 0]]
    index, start, end = found.T
    scope = np.array([scope for scope, _ in texts], np.int64)[index]
    width = len(words.text) + 1  # one sorted key for the ends of all scopes
    following = np.searchsorted(mentions.scope * width + mentions.end, scope * width + start, side="right")
    scopes, starts = np.append(mentions.scope, -1), np.append(mentions.start, 0)
    free: NDArray[np.int64] = found[(scopes[following] != scope) | (starts[following] >= end)]
    return free


def _decide(
    mentions: Mentions,
    own: NDArray[np.int64],
    free: NDArray[np.int64],
    scope: NDArray[np.int64],
    label: NDArray[np.int64],
    score: NDArray[np.float64],
) -> Mentions:
    """Give mentions and free occurrences of decided texts their label, those that change the score as well.

    own:  (mentions,) index of each one's text, -1 if it is not decided
    free: (occurrences, 3) of decided texts, of which the longest become mentions
    scope, label, score: (texts,)
    """
    changed = (own >= 0) & (label[own] != mentions.label)
    added: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    chosen = []
    order = np.lexsort((free[:, 1], free[:, 1] - free[:, 2]))
    for row, owner, (start, end) in zip(
        order.tolist(), scope[free[order, 0]].tolist(), free[order, 1:].tolist(), strict=True
    ):
        others = added[owner]
        at = bisect_left(others, (start, end))
        if (at == 0 or others[at - 1][1] <= start) and (at == len(others) or others[at][0] >= end):
            others.insert(at, (start, end))
            chosen.append(row)
    index, start, end = free[chosen].T
    found = Mentions(
        np.concatenate([mentions.scope, scope[index]]),
        np.concatenate([mentions.start, start]),
        np.concatenate([mentions.end, end]),
        np.concatenate([np.where(changed, label[own], mentions.label), label[index]]),
        np.concatenate([np.where(changed, score[own], mentions.score), score[index]]),
    )
    return found.take(np.lexsort((found.end, found.start, found.scope)))
