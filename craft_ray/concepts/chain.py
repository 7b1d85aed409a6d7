"""The chain of look-ups: which concept a mention means, and which step found it; in columns.

A mention is looked up as it is, in every form at once, and the surest match counts. A mention that matches nothing is
looked up by its variants (`variants`), one kind after the other.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.context import Context
from craft_ray.concepts.forms import EXACT, FOLDED, RELAXED, SINGULAR, keys
from craft_ray.concepts.lexicon import CORPUS, NAME, RELATED, SYNONYM, Lexicon, find_names
from craft_ray.concepts.variants import BEFORE_RELATED, OF_DOCUMENT, SYMBOLS, VARIANTS

NONE = -1

SHORT = 3
"""Characters up to which a string must be equal to an ontology's name as it is: `Is` is no `IS`, a kind of operon."""

MOST_RIVALS = 5
"""Concepts that match equally well, of which a mention's candidates tell."""

_ORDER = (
    (CORPUS, EXACT, "corpus"),
    (NAME, EXACT, "name"),
    (SYNONYM, EXACT, "synonym"),
    (CORPUS, FOLDED, "corpus folded"),
    (NAME, FOLDED, "name folded"),
    (SYNONYM, FOLDED, "synonym folded"),
    (CORPUS, SINGULAR, "corpus singular"),
    (NAME, SINGULAR, "name singular"),
    (SYNONYM, SINGULAR, "synonym singular"),
    (CORPUS, RELAXED, "corpus relaxed"),
    (NAME, RELAXED, "name relaxed"),
    (SYNONYM, RELAXED, "synonym relaxed"),
    (RELATED, EXACT, "related"),
    (RELATED, FOLDED, "related folded"),
    (RELATED, SINGULAR, "related singular"),
)
"""Matches of a string as it is, from the surest to the least sure; RELATED and RELAXED together are mostly wrong."""

MATCHES = (*(name for _, _, name in _ORDER), *VARIANTS)
"""The steps that find a concept, as `concept_match` spells them."""

ALONE = frozenset(VARIANTS) - OF_DOCUMENT
"""Kinds of variants that a mention has wherever it stands."""

DEFINED, LAST = frozenset({"abbreviation", "genus"}), frozenset({"context"})
"""Kinds that ask the document: those that go before others, and the one that is tried when all else has failed."""

_FROM_RELATED = next(rank for rank, (tier, _, _) in enumerate(_ORDER) if tier == RELATED)
_DIRECT = len(_ORDER)
_RANK = np.full((RELATED + 1, RELAXED + 1), NONE, np.int64)
for _rank, (_tier, _form, _) in enumerate(_ORDER):
    _RANK[_tier, _form] = _rank


Row = tuple[int, int, tuple[int, ...]]
"""The concept, match and rivals of one string, as in `Found`."""


@dataclass(frozen=True, slots=True)
class Found:
    """The concepts of strings, (strings,) each.

    concept: number of the concept, NONE where there is none
    match:   number in MATCHES
    rivals:  by string, other concepts that match equally well
    """

    concept: NDArray[np.int64]
    match: NDArray[np.int64]
    rivals: dict[int, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Found":
        """The concepts of strings that were found before, a row each."""
        concept, match = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2).T
        return cls(concept, match, {n: list(row[2]) for n, row in enumerate(rows) if row[2]})

    def rows(self) -> list[Row]:
        """A row per string."""
        rivals = [tuple(self.rivals.get(n, ())) for n in range(len(self.concept))]
        return list(zip(self.concept.tolist(), self.match.tolist(), rivals, strict=True))

    def take(self, places: NDArray[np.int64]) -> "Found":
        """The concepts of some of the strings, or of strings several times."""
        rivals = {n: self.rivals[p] for n, p in enumerate(places.tolist()) if p in self.rivals}
        return Found(self.concept[places], self.match[places], rivals)

    def followed_by(self, other: "Found") -> "Found":
        """These strings, then others."""
        rivals = self.rivals | {n + len(self.concept): some for n, some in other.rivals.items()}
        return Found(np.append(self.concept, other.concept), np.append(self.match, other.match), rivals)

    def surer(self, other: "Found") -> "Found":
        """By string what the earlier kind of variant found, in this or in other; this where none of them has one."""
        better = (other.match >= _DIRECT) & ((self.match < _DIRECT) | (other.match < self.match))
        rivals = {n: some for n, some in self.rivals.items() if not better[n]}
        rivals |= {n: some for n, some in other.rivals.items() if better[n]}
        return Found(np.where(better, other.concept, self.concept), np.where(better, other.match, self.match), rivals)

    def open(self) -> NDArray[np.int64]:
        """The strings that a variant may find, or find better."""
        related = (self.match >= _FROM_RELATED) & (self.match < _DIRECT)
        return np.flatnonzero((self.concept == NONE) | related)


def by_names(lexicon: Lexicon, strings: Sequence[str], allowed: NDArray[np.bool_]) -> Found:
    """The concept of each string as it is.

    Of names that match equally well, the concept that a corpus has most often counts, then one that is of no species.

    allowed: (strings, prefixes) the prefixes in which each string is looked up
    """
    found = find_names(lexicon, keys(strings), allowed)
    rank = _RANK[found.tier, found.form]
    short = np.array([len(text) <= SHORT for text in strings], np.bool_)[found.string]
    symbol = np.array([prefix in SYMBOLS for prefix in lexicon.prefixes], np.bool_)[lexicon.ontology[found.concept]]
    refused = (short & (found.form != EXACT) & (found.tier != CORPUS)) | (symbol & (found.form == RELAXED))
    kept = np.flatnonzero((rank != NONE) & ~refused)
    kept = kept[
        np.lexsort(
            (
                found.concept[kept],
                lexicon.specific[found.concept[kept]],
                -lexicon.prior[found.concept[kept]].astype(np.int64),
                rank[kept],
                found.string[kept],
            )
        )
    ]
    string, concept, rank = found.string[kept], found.concept[kept], rank[kept]
    first = np.ones(len(string), np.bool_)
    first[1:] = string[1:] != string[:-1]
    result = Found(np.full(len(strings), NONE, np.int64), np.zeros(len(strings), np.int64))
    result.concept[string[first]] = concept[first]
    result.match[string[first]] = rank[first]
    equal = (rank == result.match[string]) & (concept != result.concept[string])
    for place, other in zip(string[equal].tolist(), concept[equal].tolist(), strict=True):
        others = result.rivals.setdefault(place, [])
        if other not in others and len(others) < MOST_RIVALS:
            others.append(other)
    return result


def by_variants(
    lexicon: Lexicon,
    strings: Sequence[str],
    allowed: NDArray[np.bool_],
    prefixes: Sequence[str],
    contexts: Sequence[Context],
    found: Found,
    kinds: Container[str] = frozenset(VARIANTS),
) -> Found:
    """The same for strings that names did not find, or only related names, by their variants.

    prefixes: (strings,) the prefix whose rules apply to each string
    contexts: (strings,) the document of each
    kinds:    the kinds of variants that are tried
    """
    found = Found(found.concept.copy(), found.match.copy(), dict(found.rivals))
    for number, (name, variants) in enumerate(VARIANTS.items()):
        if name not in kinds:
            continue
        left = found.open() if name in BEFORE_RELATED else np.flatnonzero(found.concept == NONE)
        pairs = [
            (place, text)
            for place in left.tolist()
            for text in variants(strings[place], prefixes[place], contexts[place])
        ]
        if not pairs:
            continue
        owner = np.array([place for place, _ in pairs])
        part = by_names(lexicon, [text for _, text in pairs], allowed[owner])
        better = (part.concept != NONE) & ((found.concept[owner] == NONE) | (part.match < _FROM_RELATED))
        order = np.flatnonzero(better)
        order = order[np.lexsort((order, part.match[order], owner[order]))]
        order = order[np.unique(owner[order], return_index=True)[1]]  # the surest of each string
        found.concept[owner[order]] = part.concept[order]
        found.match[owner[order]] = _DIRECT + number
        for pair in order.tolist():
            found.rivals.pop(int(owner[pair]), None)
            if pair in part.rivals:
                found.rivals[int(owner[pair])] = part.rivals[pair]
    return found
