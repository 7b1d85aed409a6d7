"""Make labels consistent within a document, and trim stray punctuation from mentions.

A network sees one window at a time, so it may miss five of forty occurrences of `APP`. A name rarely has two meanings
in one document: in CRAFT, 12 of 8,274 pairs of article and text have more than one concept. So the majority of the
occurrences of a text decides for all of them, an abbreviation gets the label of its long form, and a name that is glued
to something else is cut off. Other documents of the block have no influence, and neither have labels of other groups.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MAX_WORDS = 100_000
"""Longer documents are refined in parts, which bounds memory."""

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


class Scored(NamedTuple):
    """A mention: `text[start:end]`, label number and raw score."""

    start: int
    end: int
    label: int
    score: float


class Words:
    """The words of a document or of a part of it, with an index of where each word stands.

    start, end: offsets in `text`
    sentence:   sentence number
    """

    def __init__(self, text: str, start: list[int], end: list[int], sentence: list[int]) -> None:
        self.text, self.start, self.end, self.sentence = text, start, end, sentence
        self._number_by_end = {to: number for number, to in enumerate(end)}
        self._numbers: defaultdict[str, list[int]] = defaultdict(list)
        for number, (a, b) in enumerate(zip(start, end, strict=True)):
            self._numbers[text[a:b]].append(number)

    def first_word(self, start: int, end: int) -> str:
        """The first word of the text between two offsets, which may begin or end within a word."""
        return self.text[start : min(self.end[bisect_right(self.end, start)], end)]

    def occurrences(self, text: str, first_word: str) -> list[tuple[int, int]]:
        """Where a text stands as whole words of one sentence."""
        found = []
        for number in self._numbers.get(first_word, ()):
            begin = self.start[number]
            last = self._number_by_end.get(begin + len(text))
            if last is not None and self.sentence[last] == self.sentence[number] and self.text.startswith(text, begin):
                found.append((begin, begin + len(text)))
        return found


def refine(words: Words, mentions: Iterable[Scored], cut_words: bool = False) -> list[Scored]:
    """Trim the mentions of a document, then apply majorities and abbreviations.

    Mentions must be sorted and disjoint, and so is the result.

    cut_words: cut names off words, for models whose mentions may end within words
    """
    trimmed = trim(words.text, mentions)
    if cut_words:
        trimmed = cut_names(words.text, trimmed)
    return apply_abbreviations(words, apply_majorities(words, trimmed))


def trim(text: str, mentions: Iterable[Scored]) -> list[Scored]:
    """Trim stray punctuation from mentions, and drop mentions that consist of punctuation only."""
    trimmed = []
    for start, end, label, score in mentions:
        if all(_is_punctuation(part) for part in text[start:end].split()):
            continue
        while text[start] in STRAY_FIRST or text[start].isspace():
            start += 1
        while text[end - 1] in STRAY_LAST or text[end - 1].isspace():
            end -= 1
        trimmed.append(Scored(start, end, label, score))
    return trimmed


def _is_punctuation(part: str) -> bool:
    return all(c in STRAY_FIRST or c in STRAY_LAST or (c.isascii() and not c.isalnum()) for c in part)


def cut_names(text: str, mentions: Sequence[Scored]) -> list[Scored]:
    """Cut a word that begins with a name that is a mention elsewhere: `Isl1Cre` where `Isl1` is one.

    What follows must look like another name: two letters or more after a digit, or three or more from a capital. So
    isoforms (`E2f3a`) and plurals stay.
    """
    names = {(text[m.start : m.end], m.label) for m in mentions if m.end - m.start >= MIN_NAME}
    result = []
    for mention in mentions:
        own = text[mention.start : mention.end]
        for size in range(MIN_NAME, len(own) - 1):
            if _GLUED.match(own, size - 1) and (own[:size], mention.label) in names:
                mention = mention._replace(end=mention.start + size)
                break
        result.append(mention)
    return result


def apply_majorities(words: Words, mentions: list[Scored]) -> list[Scored]:
    """Give all occurrences of a text in a document the label of the majority.

    If at least half of the occurrences of a text, and at least MIN_MAJORITY, are mentions with one label, all become
    mentions with that label. If fewer than half of at least MIN_MAJORITY occurrences are mentions, none stays one.
    Occurrences inside other mentions do not count. A mention that is added or relabelled gets the mean score of the
    majority, times the majority's share of all occurrences.
    """
    texts = [words.text[mention.start : mention.end] for mention in mentions]
    votes: dict[str, Counter[int]] = {text: Counter() for text in texts}
    sums: defaultdict[tuple[str, int], float] = defaultdict(float)
    for text, mention in zip(texts, mentions, strict=True):
        votes[text][mention.label] += 1
        sums[text, mention.label] += mention.score
    free = _free_occurrences(
        words, mentions, {t: words.first_word(m.start, m.end) for t, m in zip(texts, mentions, strict=True)}
    )
    n_free = Counter(text for _, _, text in free)
    decided, dropped = {}, set()
    for text, counts in votes.items():
        label, most = min(counts.items(), key=lambda item: (-item[1], item[0]))
        occurrences = counts.total() + n_free[text]
        if most >= MIN_MAJORITY and 2 * most >= occurrences:
            decided[text] = label, sums[text, label] / occurrences
        elif occurrences >= MIN_MAJORITY and 2 * counts.total() < occurrences:
            dropped.add(text)
    kept = [mention for text, mention in zip(texts, mentions, strict=True) if text not in dropped]
    return _decide(words.text, kept, free, decided)


def apply_abbreviations(words: Words, mentions: list[Scored]) -> list[Scored]:
    """Give each abbreviation that a mention defines, as in `doxycycline (dox)`, the label and score of that mention.

    Abbreviations are matched to long forms as in Schwartz and Hearst 2003, "A simple algorithm for identifying
    abbreviation definitions in biomedical text". Their plurals are treated alike. Of several definitions the most
    frequent label counts.
    """
    text = words.text
    labels: dict[str, Counter[int]] = {}
    scores: dict[str, float] = {}
    first_words: dict[str, str] = {}
    for mention in mentions:
        found = _BRACKETS.match(text, mention.end)
        if not found or not is_short_form(found[1], text[mention.start : mention.end]):
            continue
        short = found[1]
        first_word = words.first_word(*found.span(1))
        other = short[:-1] if short.endswith("s") else f"{short}s"
        for form in (short, other) if len(other) > 1 else (short,):
            labels.setdefault(form, Counter())[mention.label] += 1
            scores.setdefault(form, mention.score)
            first_words[form] = form if first_word == short else first_word
    decided = {form: (labels[form].most_common(1)[0][0], score) for form, score in scores.items()}
    free = _free_occurrences(words, mentions, first_words)
    return _decide(text, mentions, free, decided)


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
    words: Words, mentions: list[Scored], first_words: Mapping[str, str]
) -> list[tuple[int, int, str]]:
    """Start, end and text of the occurrences of some texts that overlap no mention, longest first.

    first_words: the first word of each text
    """
    starts, ends = [m.start for m in mentions], [m.end for m in mentions]
    found = []
    for text, first_word in first_words.items():
        for start, end in words.occurrences(text, first_word) if len(text) <= MAX_MENTION else ():
            following = bisect_right(ends, start)
            if following == len(mentions) or starts[following] >= end:
                found.append((start, end, text))
    return sorted(found, key=lambda row: (row[0] - row[1], row[0]))


def _decide(
    text: str, mentions: list[Scored], free: list[tuple[int, int, str]], decided: Mapping[str, tuple[int, float]]
) -> list[Scored]:
    """Give mentions and free occurrences of the decided texts their label; those that change get the score as well."""
    result = []
    for mention in mentions:
        label, score = decided.get(text[mention.start : mention.end], (mention.label, mention.score))
        result.append(mention if label == mention.label else mention._replace(label=label, score=score))
    added: list[tuple[int, int]] = []
    for start, end, own in free:
        at = bisect_left(added, (start, end))
        clear = (at == 0 or added[at - 1][1] <= start) and (at == len(added) or added[at][0] >= end)
        if own in decided and clear:
            added.insert(at, (start, end))
            result.append(Scored(start, end, *decided[own]))
    return sorted(result)
