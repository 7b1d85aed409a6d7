"""The chain of look-ups: which concept a mention means, and which step found it.

A mention is looked up as it is, in all forms at once, and the closest match wins. If nothing matches, or only a related
synonym, the kinds of variants of `variants` are tried one after the other.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.concepts.context import Context
from craft_ray.concepts.forms import EXACT, FOLDED, RELAXED, SHORT, SINGULAR, Keys, folded_words, is_symbol, keys
from craft_ray.concepts.hierarchy import lineage
from craft_ray.concepts.lexicon import CORPUS, NAME, RELATED, SYNONYM, Lexicon
from craft_ray.concepts.variants import BEFORE_RELATED, SYMBOLS, VARIANTS

NONE = -1

MAX_TIES = 5

STEM = 5
"""Characters in which the words of a long form and of a name are compared."""

_COMMON = frozenset({"prote", "recep", "facto", "gene", "disea", "disor", "syndr", "cell"})
"""Beginnings of words that say nothing about which concept a name means."""

_FORMS = (("", EXACT), (" folded", FOLDED), (" singular", SINGULAR), (" relaxed", RELAXED))
_TIERS = (("corpus", CORPUS), ("name", NAME), ("synonym", SYNONYM))
_ORDER = (
    *((tier, form, name + suffix) for suffix, form in _FORMS[:-1] for name, tier in _TIERS),
    *((RELATED, form, "related" + suffix) for suffix, form in _FORMS[:-1]),
    *((tier, RELAXED, f"{name} relaxed") for name, tier in _TIERS),
)
"""Direct matches, best first. RELATED and RELAXED together are mostly wrong, so they do not count."""

MATCHES = (*(name for _, _, name in _ORDER), *VARIANTS)
"""Steps that find a concept, as the column `concept_match` spells them."""

DIRECT = len(_ORDER)
"""Number of direct matches. Higher indices in MATCHES are variants."""

_RELATED_STEPS = [rank for rank, (tier, _, _) in enumerate(_ORDER) if tier == RELATED]
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


Column = NDArray[Any]

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
        concept, match, ties = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(np.array(concept, np.int64), np.array(match, np.int64), np.fromiter(ties, np.object_, len(rows)))

    def rows(self) -> list[Row]:
        return list(zip(*(column.tolist() for column in self), strict=True))

    def take(self, indices: NDArray[Any]) -> "Found":
        return Found(*(column[indices] for column in self))

    def put(self, indices: NDArray[Any], other: "Found") -> None:
        """Replace the rows at some indices by those of `other`."""
        for column, values in zip(self, other, strict=True):
            column[indices] = values

    def choose(self, index: int, concept: int) -> None:
        """Settle on one concept, or on NONE."""
        self.concept[index], self.ties[index] = concept, None

    def candidates(self, index: int) -> tuple[int, ...]:
        return int(self.concept[index]), *(self.ties[index] or ())

    def is_unsettled(self) -> NDArray[np.bool_]:
        """(strings,) mask of those that a variant may improve: without a concept, or with that of a related synonym."""
        unsettled: NDArray[np.bool_] = self.concept == NONE
        return unsettled | np.isin(self.match, _RELATED_STEPS)


def match_names(lexicon: Lexicon, texts: Sequence[str], allowed: NDArray[np.bool_], taxon: NDArray[np.int64]) -> Found:
    """Look up strings as they are.

    An earlier prefix of the lexicon goes before a later one. Among names that match equally well, the concept with the
    most mentions in the corpus wins, then one that is not specific to a species, then one with cross-references.

    allowed, taxon: (strings, prefixes) and (strings,) as in `Queries`
    """
    string, name, form = _equal_names(lexicon, keys(texts), allowed)
    concept, tier = lexicon.concept[name].astype(np.int64), lexicon.tier[name]
    is_short = np.array([len(text) <= SHORT for text in texts], np.bool_)[string]
    of_symbols = np.array([prefix in SYMBOLS for prefix in lexicon.prefixes], np.bool_)
    refused = is_short & (form != EXACT) & (tier != CORPUS)
    refused &= (form > FOLDED) | (taxon[string] == 0)  # a gene is spelt by its species: FAS, Fas
    refused |= of_symbols[lexicon.ontology[concept]] & (form == RELAXED)
    refused |= (taxon[string] > 0) & (taxon[string] != lexicon.taxon[concept])
    string, concept, tier, form = (column[~refused] for column in (string, concept, tier, form))
    rank = _RANK[tier, form]
    is_name = (form <= FOLDED) & (tier < RELATED) | (form == EXACT) & of_symbols[lexicon.ontology[concept]]
    kept = (rank != NONE) & ~_is_contradicted(string, concept, lexicon.ontology[concept], tier == CORPUS, is_name)
    string, concept, rank = string[kept], concept[kept], rank[kept]
    prior = lexicon.prior[concept].astype(np.int64)
    ontology = lexicon.ontology[concept]
    order = np.lexsort(
        (concept, ~lexicon.has_xrefs[concept], lexicon.taxon[concept] > 0, -prior, rank, ontology, string)
    )
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
    _put_ancestors_first(lexicon, found)
    return found


def _put_ancestors_first(lexicon: Lexicon, found: Found) -> None:
    """Of concepts that match equally well, put an ancestor of all others first: `maize` is no subspecies."""
    tied = {n: found.candidates(n) for n in np.flatnonzero(found.ties.astype(np.bool_)).tolist()}
    concepts = np.unique(np.array([one for some in tied.values() for one in some], np.int64))
    pairs = lineage(lexicon, concepts)
    kept = np.isin(pairs.ancestor, concepts)
    above = set(zip(pairs.concept[kept].tolist(), pairs.ancestor[kept].tolist(), strict=True))
    for n, some in tied.items():
        first = next((one for one in some if all((other, one) in above for other in some)), some[0])
        found.concept[n], found.ties[n] = first, [one for one in some if one != first]


def _equal_names(
    lexicon: Lexicon, texts: Keys, allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Indices of a string and of a name that equals it, and the closest form in which it does, (pairs,) each."""
    first = np.searchsorted(lexicon.key, texts.key, side="left")
    count = np.searchsorted(lexicon.key, texts.key, side="right") - first
    count[texts.key == 0] = 0
    string = np.repeat(np.arange(len(count)), count)
    name = np.arange(len(string)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    wanted = allowed[string, lexicon.ontology[lexicon.concept[name]]]
    string, name = string[wanted], name[wanted]
    folded = lexicon.folded[name] == texts.folded[string]
    exact = folded & (lexicon.exact[name] == texts.exact[string])
    singular = lexicon.folded[name] == texts.singular[string]
    return string, name, np.select([exact, folded, singular], [EXACT, FOLDED, SINGULAR], RELAXED)


def _is_contradicted(
    string: Column, concept: Column, ontology: Column, of_corpus: NDArray[np.bool_], is_name: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(pairs,) mask of the corpus's strings that their ontology knows as the name of other concepts, not of its own."""
    within = string * (int(ontology.max(initial=0)) + 1) + ontology
    pair = string * (concept.max(initial=0) + 1) + concept
    contradicted: NDArray[np.bool_] = np.isin(within, within[is_name & ~of_corpus]) & of_corpus
    contradicted &= ~np.isin(pair, pair[~of_corpus])
    return contradicted


def choose_by_support(found: Found, group: NDArray[np.int64]) -> None:
    """Of concepts that match a string equally well, choose one that another string of its document and label means.

    group: (strings,) number of the document and label of each string
    """
    is_tied = found.ties.astype(np.bool_)
    if not is_tied.any():
        return
    firm = (found.concept != NONE) & ~is_tied
    meant = set(zip(group[firm].tolist(), found.concept[firm].tolist(), strict=True))
    for n in np.flatnonzero(is_tied).tolist():
        chosen = next((one for one in found.candidates(n) if (int(group[n]), one) in meant), None)
        if chosen is not None:
            found.choose(n, chosen)


def choose_by_words(lexicon: Lexicon, short: Sequence[str], long: Sequence[str], found: Found) -> None:
    """Compare what abbreviations mean elsewhere with long forms that no name matches.

    Of several concepts, the one whose name shares most words with the abbreviation and its long form is chosen. If none
    shares any, an abbreviation that is ambiguous or a symbol means another concept, so it gets none.

    short, long: (strings,) abbreviations and their long forms
    """
    rows = np.flatnonzero(found.concept != NONE).tolist()
    candidates = [found.candidates(n) for n in rows]
    names = lexicon.names.take(pa.array([one for some in candidates for one in some], pa.int64())).to_pylist()
    symbol = folded_words([short[n] for n in rows])
    words = map(_stems, folded_words([long[n] for n in rows]))
    of_names = map(_stems, folded_words([name or "" for name in names]))
    for n, own, theirs, some in zip(rows, symbol, words, candidates, strict=True):
        wanted = {own, *(word for word in theirs if len(word) > SHORT)}
        shared = [len(wanted & next(of_names)) for _ in some]
        if any(shared):
            found.choose(n, some[int(np.argmax(shared))])
        elif found.ties[n] or is_symbol(short[n]):
            found.choose(n, NONE)


def _stems(words: str) -> set[str]:
    return {word[:STEM] for word in words.split()} - _COMMON


def match_variants(
    lexicon: Lexicon, queries: Queries, contexts: Sequence[Context], found: Found, kinds: Container[str]
) -> None:
    """Improve `found` by variants of the strings that it leaves unsettled.

    contexts: (strings,) the document of each string
    kinds:    kinds of variants to try
    """
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
        better = (part.concept != NONE) & ((found.concept[owner] == NONE) | ~np.isin(part.match, _RELATED_STEPS))
        order = np.flatnonzero(better)
        order = order[np.lexsort((order, part.match[order], owner[order]))]
        best = order[np.unique(owner[order], return_index=True)[1]]
        found.concept[owner[best]] = part.concept[best]
        found.match[owner[best]] = DIRECT + number
        found.ties[owner[best]] = part.ties[best]
