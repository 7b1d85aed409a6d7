"""Build a lexicon from terms and from the strings of annotated corpora."""

import copy
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.concepts.forms import BATCH, Keys, keys
from craft_ray.concepts.lexicon import (
    CORPUS,
    NAME,
    RELATED,
    SYNONYM,
    Lexicon,
    distinct_pairs,
    group_parents,
    with_fingerprint,
)
from craft_ray.concepts.terms import EXACT, GENES, SECOND_SOURCES, Term, prefix_of
from craft_ray.concepts.variants import SYMBOLS

MAX_SYNONYMS = 200
"""Synonyms of a concept. What has more is a group whose members are listed, such as `human protein` in some files."""

MAJORITY = 0.75
"""Share of a string's mentions in a corpus that must mean the same."""

_UNKNOWN = -1
"""In place of an ontology, for ids that no concept has."""


class LexiconBuilder:
    """Collects terms and strings.

    leave_out: ids of classes that no mention gets. They stay in the hierarchy, and have names only if a gene is theirs
    """

    def __init__(self, prefixes: Sequence[str], leave_out: frozenset[str] = frozenset()) -> None:
        self._prefix = {prefix: number for number, prefix in enumerate(prefixes)}
        self._chemical = self._prefix.get("CHEBI", -1)
        self._leave_out = leave_out
        self._index: dict[str, int] = {}  # of each concept
        self._nameless: dict[int, list[tuple[str, int]]] = {}  # names to add if a gene is theirs, and tiers
        self._proteins: dict[str, list[str]] = {}  # by name and exact synonym in lower case
        self._name: list[str | None] = []
        self._ontology, self._taxon = bytearray(), array("I")
        self._texts: list[str] = []
        self._keys: list[Keys] = []
        self._owner, self._tier = array("I"), bytearray()
        self._child, self._parent = array("I"), array("I")
        self._old: dict[str, str] = {}
        self._xrefs: dict[str, list[int]] = {}
        self._mentions: Counter[int] = Counter()
        self._strings: set[tuple[int, str]] = set()  # of corpora, by ontology
        self.sources: list[dict[str, Any]] = []
        """Entries of `Lexicon.sources`."""

    def copy(self) -> "LexiconBuilder":
        self._flush()
        return copy.deepcopy(self)

    def add_term(self, term: Term, tier: int = NAME) -> int:
        """Add a term with its names. Returns the number of names, 0 if it is obsolete or has an unknown prefix.

        tier: CORPUS if all its names are to be found first
        A term of another vocabulary adds its names and cross-references to the concepts that refer to it.
        """
        prefix = prefix_of(term.id)
        if prefix not in self._prefix or prefix in SECOND_SOURCES:
            same = tuple(self._xrefs.get(term.id, ()))
            for concept in same:
                self._add_names(term, concept, SYNONYM)
            if same or prefix not in self._prefix:
                return (bool(term.name) + len(term.synonyms)) * len(same)
        if term.obsolete:
            if term.replaced_by:
                self._old[term.id] = term.replaced_by
            return 0
        if term.only_known:
            term = term._replace(id=self._old.get(term.id, term.id))
            if term.id not in self._index:
                return 0
        concept = self._concept(term.id, prefix)
        self._taxon[concept] = term.taxon or self._taxon[concept]
        if term.name:
            self._name[concept] = self._name[concept] or term.name
        for old in term.alternatives:
            self._old.setdefault(old, term.id)
        for parent in term.parents:
            if (above := prefix_of(parent)) in self._prefix:
                self._child.append(concept)
                self._parent.append(self._concept(parent, above))
        self._add_names(term, concept, tier)
        return bool(term.name) + len(term.synonyms)

    @property
    def xref_count(self) -> int:
        return sum(map(len, self._xrefs.values()))

    def by_name(self, prefix: str) -> dict[str, str]:
        """Ids of a prefix's concepts by their preferred names in lower case; of several the first."""
        named = reversed(list(zip(self._index, self._name, strict=True)))
        return {name.casefold(): id_ for id_, name in named if name and prefix_of(id_) == prefix}

    def proteins(self, symbol: str, name: str) -> list[str]:
        """Ids of the proteins with a gene's symbol and name, else of those with its name."""
        of_name, of_symbol = (self._proteins.get(text.casefold(), []) for text in (name, symbol))
        return [one for one in of_name if one in of_symbol] or of_name

    def _add_names(self, term: Term, concept: int, tier: int) -> None:
        """Add a term's cross-references to a concept, and its names, of which the preferred one has a tier."""
        for xref in term.xrefs:
            self._xrefs.setdefault(xref, []).append(concept)
        names = [(term.name, tier)] if term.name else []
        for text, scope in term.synonyms if len(term.synonyms) <= MAX_SYNONYMS else ():
            names.append((text, tier if tier == CORPUS else SYNONYM if scope == EXACT else RELATED))
        if term.id.startswith("PR:"):
            for text, its_tier in names:
                if its_tier < RELATED:
                    self._proteins.setdefault(text.casefold(), []).append(term.id)
        if concept in self._nameless:
            self._nameless[concept] += names
            is_gene = any(prefix_of(xref) == "HGNC" for xref in term.xrefs)
            names = self._nameless.pop(concept) if is_gene else []
        for text, its_tier in names:
            self._add_name(text, concept, its_tier)

    def add_strings(self, strings: Mapping[tuple[str, str], int]) -> None:
        """Add an annotated corpus: the mentions of each pair of string and id.

        An id of another vocabulary means the concepts that refer to it. A string counts if at least MAJORITY of its
        mentions mean the same, and if no corpus that was added before has it.
        """
        meanings: Counter[tuple[str, tuple[int, ...]]] = Counter()
        for (text, concept_id), count in strings.items():
            meanings[text, self._meant(concept_id)] += count
        best: dict[tuple[int, str], tuple[int, tuple[int, ...]]] = {}
        total: Counter[tuple[int, str]] = Counter()
        for (text, meant), count in meanings.items():
            for concept in meant:
                self._mentions[concept] += count
            pair = (self._ontology[meant[0]] if meant else _UNKNOWN, text)
            best[pair] = max(best.get(pair, (0, ())), (count, meant))
            total[pair] += count
        for pair, (count, meant) in best.items():
            text = pair[1]
            if pair not in self._strings and count >= MAJORITY * (total[pair] + total[_UNKNOWN, text]):
                for concept in meant:
                    self._name[concept] = self._name[concept] or text
                    self._add_name(text, concept, CORPUS)
        self._strings |= best.keys()

    def _meant(self, concept_id: str) -> tuple[int, ...]:
        """The concepts that an id of a corpus means, itself or by a cross-reference; none if some have no names.

        Genes and concepts of a named species are left out: strings are those of proteins of any species.
        """
        concept_id = self._old.get(concept_id, concept_id)
        prefix = prefix_of(concept_id)
        is_source = prefix in self._prefix and prefix != GENES
        if is_source and (prefix not in SECOND_SOURCES or concept_id in self._index):
            return (self._concept(concept_id, prefix),)
        meant = tuple(one for one in dict.fromkeys(self._xrefs.get(concept_id, ())) if self._taxon[one] <= 1)
        return () if any(one in self._nameless for one in meant) else meant

    def lexicon(self) -> Lexicon:
        self._flush()
        count = len(self._index)
        key, _, folded, exact = (np.concatenate(columns) for columns in zip(*self._keys, strict=True))
        names: dict[str, Any] = {
            "key": key,
            "folded": folded,
            "exact": exact,
            "tier": np.frombuffer(bytes(self._tier), np.uint8),
            "concept": np.array(self._owner, np.uint32),
        }
        names = _take(names, _distinct(names))
        pairs = [(xref, concept) for xref, concepts in self._xrefs.items() for concept in concepts]
        if self._nameless:
            pairs += self._xrefs_of_nameless(names, pairs)
        if self._strings:
            names = _take(names, ~self._is_contradicted(names))
        parent_start, parent = group_parents(np.array(self._child, np.uint32), np.array(self._parent, np.uint32), count)
        xrefs, xref_concept = distinct_pairs(
            pa.array([xref for xref, _ in pairs], pa.string()), np.array([concept for _, concept in pairs], np.uint32)
        )
        old = sorted((old, self._index[new]) for old, new in self._old.items() if new in self._index)
        prior = np.zeros(count, np.uint8)
        for concept, mentions in self._mentions.items():
            prior[concept] = mentions.bit_length()
        return with_fingerprint(
            Lexicon(
                **names,
                ids=pa.array(list(self._index), pa.string()),
                names=pa.array(self._name, pa.string()),
                ontology=np.frombuffer(bytes(self._ontology), np.uint8),
                prior=prior,
                taxon=np.array(self._taxon, np.uint32),
                parent_start=parent_start,
                parent=parent,
                old_ids=pa.array([item[0] for item in old], pa.string()),
                old_concept=np.array([item[1] for item in old], np.uint32),
                xrefs=xrefs,
                xref_concept=xref_concept,
                prefixes=tuple(self._prefix),
                sources=tuple(self.sources),
            )
        )

    def _is_contradicted(self, names: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """(names,) mask of synonyms that corpora use for other concepts of the same ontology, and never for their own.

        Of several concepts that corpora mean by a string, only the one with this preferred name is kept, if there is
        one. Symbols are left out: an abbreviation means different proteins in different fields.
        """
        ontology = np.frombuffer(bytes(self._ontology), np.uint8)[names["concept"]]
        _, string = np.unique(names["key"] << np.uint64(16) | names["folded"], return_inverse=True)
        string = string * len(self._prefix) + ontology
        use = string * len(self._index) + names["concept"]
        of_corpus, is_synonym = names["tier"] == CORPUS, names["tier"] == SYNONYM
        is_confirmed = of_corpus & np.isin(use, use[names["tier"] == NAME])
        contradicted: NDArray[np.bool_] = of_corpus & ~is_confirmed & np.isin(string, string[is_confirmed])
        contradicted |= is_synonym & np.isin(string, string[of_corpus]) & ~np.isin(use, use[of_corpus])
        return contradicted & ~np.isin(ontology, [self._prefix[one] for one in SYMBOLS if one in self._prefix])

    def _xrefs_of_nameless(
        self, names: Mapping[str, NDArray[Any]], xrefs: Sequence[tuple[str, int]]
    ) -> list[tuple[str, int]]:
        """Cross-references of classes that no mention gets, for the concepts that mentions of their names get instead.

        So `calcium`, which means the ion in CRAFT and not the atom, is joined with MeSH's calcium.
        """
        owners = [concept for concept, own in self._nameless.items() for _ in own]
        wanted, _, folded, _ = keys([text for own in self._nameless.values() for text, _ in own])
        key = names["key"] << np.uint64(16) | names["folded"]
        order = np.argsort(key, kind="stable")
        wanted = wanted << np.uint64(16) | folded
        first, last = (np.searchsorted(key, wanted, side, sorter=order) for side in ("left", "right"))
        instead: dict[int, set[int]] = {}
        for owner, start, end in zip(owners, first.tolist(), last.tolist(), strict=True):
            same = names["concept"][order[start:end]].tolist()
            instead.setdefault(owner, set()).update(c for c in same if self._ontology[c] == self._ontology[owner])
        return [(xref, other) for xref, concept in xrefs for other in instead.get(concept, ())]

    def _concept(self, concept_id: str, prefix: str) -> int:
        concept = self._index.setdefault(concept_id, len(self._index))
        if concept == len(self._name):
            self._name.append(None)
            self._ontology.append(self._prefix[prefix])
            self._taxon.append(_is_of_one_species(concept_id))
            if concept_id in self._leave_out:
                self._nameless[concept] = []
        return concept

    def _add_name(self, text: str, concept: int, tier: int) -> None:
        names = [(text, tier)]
        if self._ontology[concept] == self._chemical and (plain := spoken(text)) != text:
            names.append((plain, RELATED))
        head, comma, tail = text.partition(", ")
        if comma and "," not in tail:  # "receptor, insulin" is used as "insulin receptor"
            names.append((f"{tail} {head}", max(tier, SYNONYM)))
        for name, its_tier in names:
            self._texts.append(name)
            self._owner.append(concept)
            self._tier.append(its_tier)
        if len(self._texts) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        self._keys.append(keys(self._texts))
        self._texts = []


_STEREO = re.compile(r"^\([^()]*\)-(?=\w)|^[LDSRNO]-(?=[a-z])|-[LDSR]-(?=[a-z])|\((?:\d*[+-]|\d+)\)$")


def spoken(name: str) -> str:
    """A chemical's name without descriptors of isomers and charges.

    >>> spoken("phosphatidyl-L-serine"), spoken("(S)-AMPA"), spoken("calcium(2+)")
    ('phosphatidylserine', 'AMPA', 'calcium')
    """
    return _STEREO.sub("", name)


def _is_of_one_species(concept_id: str) -> bool:
    """PR gives numbers to classes of all species, and UniProt accessions to those of a single one."""
    return concept_id.startswith("PR:") and not concept_id[3:].isdecimal()


def _take(names: Mapping[str, Any], rows: NDArray[Any]) -> dict[str, Any]:
    return {name: column[rows] for name, column in names.items()}


def _distinct(names: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Rows of names sorted by key; of an ontology's names that are equal in all forms, only that of the best tier."""
    columns = [*(names[name] for name in ("key", "concept", "folded", "exact")), names["tier"] == CORPUS]
    order = np.lexsort((names["tier"], *reversed(columns)))
    same = np.ones(len(order), np.bool_)
    same[:1] = False
    for column in columns:
        same[1:] &= column[order[1:]] == column[order[:-1]]
    rows: NDArray[np.int64] = order[~same & (names["key"][order] != 0)]
    return rows
