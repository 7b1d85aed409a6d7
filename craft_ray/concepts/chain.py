"""The chain of look-ups: which concept a mention means, and which step found it.

A mention is looked up as it is, in all forms at once, and the closest match wins. If nothing matches, or only a related
synonym, the kinds of variants of `variants` are tried one after the other.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.context import Context
from craft_ray.concepts.forms import EXACT, FOLDED, RELAXED, SHORT, SINGULAR, folded_words, is_symbol, keys
from craft_ray.concepts.lexicon import CORPUS, NAME, RELATED, SYNONYM, Lexicon, Matches, find_names
from craft_ray.concepts.variants import BEFORE_RELATED, CONTEXTUAL, SYMBOLS, VARIANTS

NONE = -1

MAX_TIES = 5

STEM = 5
"""Characters in which the words of a long form and of a name are compared."""

_FORMS = (("", EXACT), (" folded", FOLDED), (" singular", SINGULAR), (" relaxed", RELAXED))
_TIERS = (("corpus", CORPUS), ("name", NAME), ("synonym", SYNONYM))
_ORDER = (
    *((tier, form, name + suffix) for suffix, form in _FORMS for name, tier in _TIERS),
    *((RELATED, form, "related" + suffix) for suffix, form in _FORMS[:-1]),
)
"""Direct matches, best first. RELATED and RELAXED together are mostly wrong, so they do not count."""

MATCHES = (*(name for _, _, name in _ORDER), *VARIANTS)
"""Steps that find a concept, as the column `concept_match` spells them."""

CONTEXT_FREE = frozenset(VARIANTS) - CONTEXTUAL
CONTEXT_FIRST = frozenset({"abbreviation", "genus"})
CONTEXT_LAST = frozenset({"context"})
"""Kinds of variants: those that need no document, and of the others those tried before and after them."""

_FROM_RELATED = next(rank for rank, (tier, _, _) in enumerate(_ORDER) if tier == RELATED)
_DIRECT = len(_ORDER)
ABBREVIATION = MATCHES.index("abbreviation")
_RANK = np.full((RELATED + 1, RELAXED + 1), NONE, np.int64)
for _rank, (_tier, _form, _) in enumerate(_ORDER):
    _RANK[_tier, _form] = _rank


@dataclass(frozen=True, slots=True)
class Queries:
    """Strings to look up, (strings,) each.

    allowed: (strings, prefixes) mask of the lexicon's prefixes in which to look each string up
    prefix:  decides the rules for each string's variants
    taxon:   the only species whose concepts may match, 0 for any
    """

    text: list[str]
    label: list[str]
    allowed: NDArray[np.bool_]
    prefix: list[str]
    taxon: NDArray[np.int64]

    def take(self, indices: NDArray[np.int64]) -> "Queries":
        text, label, prefix = ([column[n] for n in indices.tolist()] for column in (self.text, self.label, self.prefix))
        return Queries(text, label, self.allowed[indices], prefix, self.taxon[indices])


Row = tuple[int, int, list[int] | None]
"""Concept, match and ties of one string, as in `Found`."""


class Found(NamedTuple):
    """Concepts of strings, (strings,) each.

    concept: int64, index in the lexicon; NONE if there is none
    match:   int64, index in MATCHES
    ties:    object, a list of other concepts that match as well; None without ties
    """

    concept: NDArray[Any]
    match: NDArray[Any]
    ties: NDArray[Any]

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> "Found":
        concept, match = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2).T
        return cls(concept, match, np.fromiter((ties for _, _, ties in rows), np.object_, len(rows)))

    def rows(self) -> list[Row]:
        return list(zip(*(column.tolist() for column in self), strict=True))

    def take(self, indices: NDArray[np.int64]) -> "Found":
        return Found(*(column[indices] for column in self))

    def replaced(self, indices: NDArray[np.int64], other: "Found") -> "Found":
        """A copy with the rows of `other` at some indices."""
        columns = [column.copy() for column in self]
        for column, values in zip(columns, other, strict=True):
            column[indices] = values
        return Found(*columns)

    def where(self, mask: NDArray[np.bool_], other: "Found") -> "Found":
        """The rows of `other` where the mask is true, and these elsewhere."""
        return Found(*(np.where(mask, theirs, ours) for ours, theirs in zip(self, other, strict=True)))

    def candidates(self, index: int) -> tuple[int, ...]:
        return int(self.concept[index]), *(self.ties[index] or ())

    def or_earlier_variant(self, other: "Found") -> "Found":
        """Replace each row by that of `other` where the latter found a variant of an earlier kind, or the only one."""
        return self.where((other.match >= _DIRECT) & ((self.match < _DIRECT) | (other.match < self.match)), other)

    def is_unsettled(self) -> NDArray[np.bool_]:
        """(strings,) mask of those that a variant may improve: without a concept, or with that of a related synonym."""
        unsettled: NDArray[np.bool_] = self.concept == NONE
        return unsettled | ((self.match >= _FROM_RELATED) & (self.match < _DIRECT))


def match_names(lexicon: Lexicon, texts: Sequence[str], allowed: NDArray[np.bool_], taxon: NDArray[np.int64]) -> Found:
    """Look up strings as they are.

    An earlier prefix of the lexicon goes before a later one. Among names that match equally well, the concept with the
    most mentions in the corpus wins, then one that is not specific to a species.

    allowed, taxon: (strings, prefixes) and (strings,) as in `Queries`
    """
    names = find_names(lexicon, keys(texts), allowed)
    is_short = np.array([len(text) <= SHORT for text in texts], np.bool_)[names.string]
    of_symbols = np.array([prefix in SYMBOLS for prefix in lexicon.prefixes], np.bool_)
    refused = is_short & (names.form != EXACT) & (names.tier != CORPUS)
    refused &= (names.form > FOLDED) | (taxon[names.string] == 0)  # a gene is spelt by its species: FAS, Fas
    refused |= of_symbols[lexicon.ontology[names.concept]] & (names.form == RELAXED)
    refused |= (taxon[names.string] > 0) & (taxon[names.string] != lexicon.taxon[names.concept])
    names = names.take(np.flatnonzero(~refused))
    rank = _RANK[names.tier, names.form]
    kept = np.flatnonzero((rank != NONE) & ~_is_contradicted(names, lexicon.ontology[names.concept].astype(np.int64)))
    string, concept, rank = names.string[kept], names.concept[kept], rank[kept]
    prior = lexicon.prior[concept].astype(np.int64)
    ontology = lexicon.ontology[concept]
    order = np.lexsort((concept, lexicon.taxon[concept] > 0, -prior, rank, ontology, string))
    string, concept, rank = string[order], concept[order], rank[order]
    matched, first = np.unique(string, return_index=True)
    found = Found(np.full(len(texts), NONE), np.zeros(len(texts), np.int64), np.full(len(texts), None))
    found.concept[matched] = concept[first]
    found.match[matched] = rank[first]
    tied = (rank == found.match[string]) & (concept != found.concept[string])
    tied &= lexicon.ontology[concept] == lexicon.ontology[found.concept[string]]
    for index, other in zip(string[tied].tolist(), concept[tied].tolist(), strict=True):
        found.ties[index] = others = found.ties[index] or []
        if other not in others and len(others) < MAX_TIES:
            others.append(other)
    return found


def _is_contradicted(names: Matches, ontology: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(names,) mask of the corpus's strings that their ontology knows as the name of other concepts, not of its own.

    ontology: (names,) prefix of each name's concept
    """
    within = names.string * (ontology.max(initial=0) + 1) + ontology
    pair = names.string * (names.concept.max(initial=0) + 1) + names.concept
    of_ontology = names.tier != CORPUS
    named = of_ontology & (names.tier != RELATED) & (names.form <= FOLDED)
    contradicted: NDArray[np.bool_] = np.isin(within, within[named]) & ~of_ontology
    contradicted &= ~np.isin(pair, pair[of_ontology])
    return contradicted


def with_support(found: Found, group: NDArray[np.int64]) -> Found:
    """Of concepts that match a string equally well, choose one that another string of its document and label means.

    group: (strings,) number of the document and label of each string
    """
    is_tied = found.ties.astype(np.bool_)
    firm = (found.concept != NONE) & ~is_tied
    meant = set(zip(group[firm].tolist(), found.concept[firm].tolist(), strict=True))
    rows = found.rows()
    for n in np.flatnonzero(is_tied).tolist():
        chosen = next((one for one in found.candidates(n) if (int(group[n]), one) in meant), None)
        if chosen is not None:
            rows[n] = (chosen, rows[n][1], None)
    return Found.from_rows(rows)


def without_contradictions(lexicon: Lexicon, short: Sequence[str], long: Sequence[str], found: Found) -> Found:
    """Compare what abbreviations mean elsewhere with long forms that no name matches.

    Of several concepts, the one whose name shares most words with the abbreviation and its long form is chosen. If none
    shares any, an abbreviation that is ambiguous or a symbol means another concept, so it gets none.

    short, long: (strings,) abbreviations and their long forms
    """
    rows = found.rows()
    for n in np.flatnonzero(found.concept != NONE).tolist():
        words = {*folded_words([short[n]]), *(word for word in _stems(long[n]) if len(word) > SHORT)}
        shared, chosen = max(
            ((len(words & _stems(lexicon.names[one].as_py() or "")), one) for one in found.candidates(n)),
            key=lambda pair: pair[0],
        )
        if shared:
            rows[n] = (chosen, rows[n][1], None)
        elif found.ties[n] or is_symbol(short[n]):
            rows[n] = (NONE, 0, None)
    return Found.from_rows(rows)


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in folded_words([text])[0].split()}


def match_variants(
    lexicon: Lexicon, queries: Queries, contexts: Sequence[Context], found: Found, kinds: Container[str]
) -> Found:
    """Improve `found` by variants of the strings that it leaves unsettled.

    contexts: (strings,) the document of each string
    kinds:    kinds of variants to try
    """
    found = found.take(np.arange(len(queries.text)))
    for number, (name, variants) in enumerate(VARIANTS.items()):
        if name not in kinds:
            continue
        left = np.flatnonzero(found.is_unsettled()) if name in BEFORE_RELATED else np.flatnonzero(found.concept == NONE)
        pairs = [
            (index, text)
            for index in left.tolist()
            for text in variants(queries.text[index], queries.prefix[index], contexts[index])
        ]
        if not pairs:
            continue
        owner = np.array([index for index, _ in pairs])
        part = match_names(lexicon, [text for _, text in pairs], queries.allowed[owner], queries.taxon[owner])
        better = (part.concept != NONE) & ((found.concept[owner] == NONE) | (part.match < _FROM_RELATED))
        order = np.flatnonzero(better)
        order = order[np.lexsort((order, part.match[order], owner[order]))]
        best = order[np.unique(owner[order], return_index=True)[1]]
        found.concept[owner[best]] = part.concept[best]
        found.match[owner[best]] = _DIRECT + number
        found.ties[owner[best]] = part.ties[best]
    return found
