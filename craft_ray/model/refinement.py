"""Make labels consistent within a document, and trim stray punctuation from mentions.

A network sees one window at a time, so it may miss five of forty occurrences of `APP`. A name rarely has two meanings
in one document: in CRAFT, 12 of 8,274 pairs of article and text have more than one concept. So the majority of the
occurrences of a text decides for all of them, and an abbreviation gets the label of its long form. Other documents of
the block have no influence.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

MAX_WORDS = 100_000
"""Longer documents are refined in parts, which bounds memory."""

MIN_MAJORITY = 3
"""Mentions of one text with one label that can form a majority."""

MAX_MENTION_WORDS = 8
"""Other occurrences are searched for mentions up to this length only."""

STRAY_FIRST, STRAY_LAST = frozenset("-–−‐‑,.;:/)]}"), frozenset("-–−‐‑,.;:/([{")
"""Words that are trimmed from the beginning and the end of mentions."""

MAX_ABBREVIATION = 10
"""Characters, as in Schwartz and Hearst."""


class Scored(NamedTuple):
    """A mention: words `first` to `last` (inclusive), label number and raw score."""

    first: int
    last: int
    label: int
    score: float


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a document or of a part of it: offsets in `text` and sentence number of each."""

    text: str
    start: list[int]
    end: list[int]
    sentence: list[int]

    def between(self, first: int, last: int) -> str:
        return self.text[self.start[first] : self.end[last]]


def refine(words: Words, mentions: Iterable[Scored]) -> list[Scored]:
    """Trim the mentions of a document, then apply majorities and abbreviations.

    Mentions must be sorted and disjoint, and so is the result.
    """
    return apply_abbreviations(words, apply_majorities(words, trim(words, mentions)))


def trim(words: Words, mentions: Iterable[Scored]) -> list[Scored]:
    """Trim stray punctuation from mentions, and drop mentions that consist of punctuation only."""
    trimmed = []
    for first, last, label, score in mentions:
        if all(_is_punctuation(words.between(word, word)) for word in range(first, last + 1)):
            continue
        while words.between(first, first) in STRAY_FIRST:
            first += 1
        while words.between(last, last) in STRAY_LAST:
            last -= 1
        trimmed.append(Scored(first, last, label, score))
    return trimmed


def _is_punctuation(word: str) -> bool:
    return word in STRAY_FIRST or word in STRAY_LAST or (len(word) == 1 and word.isascii() and not word.isalnum())


def apply_majorities(words: Words, mentions: list[Scored]) -> list[Scored]:
    """Give all occurrences of a text in a document the label of the majority.

    If at least half of the occurrences of a text, and at least MIN_MAJORITY, are mentions with one label, all become
    mentions with that label. If fewer than half of at least MIN_MAJORITY occurrences are mentions, none stays one.
    Occurrences inside other mentions do not count. A mention that is added or relabelled gets the mean score of the
    majority, times the majority's share of all occurrences.
    """
    texts = [words.between(mention.first, mention.last) for mention in mentions]
    votes: dict[str, Counter[int]] = {text: Counter() for text in texts}
    sums: defaultdict[tuple[str, int], float] = defaultdict(float)
    for text, mention in zip(texts, mentions, strict=True):
        votes[text][mention.label] += 1
        sums[text, mention.label] += mention.score
    free = _free_occurrences(words, mentions, {mention.last - mention.first + 1 for mention in mentions}, votes)
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
    return _decide(words, kept, free, decided)


def apply_abbreviations(words: Words, mentions: list[Scored]) -> list[Scored]:
    """Give each abbreviation that a mention defines, as in `doxycycline (dox)`, the label and score of that mention.

    Abbreviations are matched to long forms as in Schwartz and Hearst 2003, "A simple algorithm for identifying
    abbreviation definitions in biomedical text". Their plurals are treated alike. Of several definitions the most
    frequent label counts.
    """
    labels: dict[str, Counter[int]] = {}
    scores: dict[str, float] = {}
    sizes = set()
    for mention in mentions:
        short, size = _in_brackets(words, mention.last + 1)
        if short and is_short_form(short, words.between(mention.first, mention.last)):
            other = short[:-1] if short.endswith("s") else f"{short}s"
            sizes.add(size)
            for text in (short, other) if len(other) > 1 else (short,):
                labels.setdefault(text, Counter())[mention.label] += 1
                scores.setdefault(text, mention.score)
    decided = {text: (labels[text].most_common(1)[0][0], score) for text, score in scores.items()}
    return _decide(words, mentions, _free_occurrences(words, mentions, sizes, decided), decided)


def _in_brackets(words: Words, opening: int) -> tuple[str, int]:
    """The text without blanks in brackets that open at a word, up to a closing bracket, comma or semicolon, and its
    number of words; "" if there is none.
    """
    if opening >= len(words.start) or words.text[words.start[opening]] != "(":
        return "", 0
    first = opening + 1
    for last in range(first, len(words.start) - 1):
        if words.end[last] - words.start[first] > MAX_ABBREVIATION:
            break
        if words.text[words.start[last + 1]] in "),;":
            return words.between(first, last), last - first + 1
        if words.start[last + 1] != words.end[last]:
            break
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


def _free_occurrences(
    words: Words, mentions: list[Scored], sizes: set[int], texts: Container[str]
) -> list[tuple[int, int, str]]:
    """First word, last word and text of the occurrences that overlap no mention and cross no sentence, longest first.

    sizes: numbers of words to try
    """
    gaps, begin = [], 0
    for mention in mentions:
        gaps.append((begin, mention.first))
        begin = mention.last + 1
    gaps.append((begin, len(words.start)))
    text, start, end, sentence = words.text, words.start, words.end, words.sentence
    return [
        (first, first + size - 1, found)
        for size in sorted(sizes, reverse=True)
        if size <= MAX_MENTION_WORDS
        for begin, to in gaps
        for first in range(begin, to - size + 1)
        if (found := text[start[first] : end[first + size - 1]]) in texts
        and sentence[first] == sentence[first + size - 1]
    ]


def _decide(
    words: Words,
    mentions: list[Scored],
    free: list[tuple[int, int, str]],
    decided: Mapping[str, tuple[int, float]],
) -> list[Scored]:
    """Give mentions and free occurrences of the decided texts their label; those that change get the score as well."""
    result = []
    for mention in mentions:
        label, score = decided.get(words.between(mention.first, mention.last), (mention.label, mention.score))
        result.append(mention if label == mention.label else mention._replace(label=label, score=score))
    taken: set[int] = set()
    for first, last, text in free:
        if text in decided and taken.isdisjoint(range(first, last + 1)):
            taken.update(range(first, last + 1))
            result.append(Scored(first, last, *decided[text]))
    return sorted(result)
