"""From terms and annotated strings to a lexicon."""

import copy
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.concepts.forms import AT_ONCE, Keys, keys
from craft_ray.concepts.lexicon import CORPUS, NAME, RELATED, SYNONYM, Lexicon
from craft_ray.concepts.packing import with_fingerprint
from craft_ray.concepts.terms import EXACT, Term, prefix_of

MOST_PRIOR = 255


class LexiconBuilder:
    """Takes terms and strings one by one; `lexicon` puts them together.

    leave_out: ids of classes that no mention is to be given; they stay in the hierarchy
    """

    def __init__(self, prefixes: Sequence[str], leave_out: frozenset[str] = frozenset()) -> None:
        self._prefix = {prefix: number for number, prefix in enumerate(prefixes)}
        self._chemical = self._prefix.get("CHEBI", -1)
        self._leave_out = leave_out
        self._number: dict[str, int] = {}
        self._name: list[str | None] = []
        self._ontology = bytearray()
        self._texts: list[str] = []
        self._parts: list[Keys] = []
        self._owner, self._tier = array("I"), bytearray()
        self._child, self._parent = array("I"), array("I")
        self._old: dict[str, str] = {}
        self._seen: Counter[int] = Counter()
        self.sources: list[dict[str, Any]] = []
        """Where what was added is from, as `Lexicon.sources`."""

    def add_term(self, term: Term) -> int:
        """Add a term and its names; gives the number of names, 0 for one that is obsolete or of another prefix."""
        prefix = prefix_of(term.id)
        if prefix not in self._prefix:
            return 0
        if term.obsolete:
            if term.replaced_by:
                self._old[term.id] = term.replaced_by
            return 0
        number = self._concept(term.id, prefix)
        if term.name:
            self._name[number] = self._name[number] or term.name
        for old in term.alternatives:
            self._old.setdefault(old, term.id)
        for parent in term.parents:
            if (above := prefix_of(parent)) in self._prefix:
                self._child.append(number)
                self._parent.append(self._concept(parent, above))
        if term.id in self._leave_out:
            return 0
        if term.name:
            self._add_name(term.name, number, NAME)
        for text, scope in term.synonyms:
            self._add_name(text, number, SYNONYM if scope == EXACT else RELATED)
        return bool(term.name) + len(term.synonyms)

    def copy(self) -> "LexiconBuilder":
        """A builder that has read the same and goes its own way."""
        self._flush()
        return copy.deepcopy(self)

    def add_strings(self, strings: Mapping[tuple[str, str], int]) -> None:
        """Add the strings of an annotated corpus: how often each stands for each id. Each string's majority counts."""
        best: dict[tuple[str, str], tuple[int, str]] = {}
        for (text, concept_id), count in strings.items():
            concept_id = self._old.get(concept_id, concept_id)
            prefix = prefix_of(concept_id)
            if prefix in self._prefix:
                self._seen[self._concept(concept_id, prefix)] += count
                best[prefix, text] = max(best.get((prefix, text), (0, "")), (count, concept_id))
        for (_, text), (_, concept_id) in best.items():
            number = self._number[concept_id]
            self._name[number] = self._name[number] or text
            self._add_name(text, number, CORPUS)

    def lexicon(self) -> Lexicon:
        """All that was added."""
        self._flush()
        count = len(self._number)
        parts = self._parts or [keys([])]
        key, _, folded, exact = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        concept, tier = np.array(self._owner, np.uint32), np.frombuffer(bytes(self._tier), np.uint8)
        keep = _distinct(key, folded, exact, tier, concept)
        parent_start, parent = _rows(np.array(self._child, np.uint32), np.array(self._parent, np.uint32), count)
        old = sorted((old, self._number[new]) for old, new in self._old.items() if new in self._number)
        prior = np.zeros(count, np.uint8)
        for number, mentions in self._seen.items():
            prior[number] = min(MOST_PRIOR, mentions.bit_length())
        return with_fingerprint(
            Lexicon(
                key=key[keep],
                folded=folded[keep],
                exact=exact[keep],
                tier=tier[keep],
                concept=concept[keep],
                ids=pa.array(list(self._number), pa.string()),
                names=pa.array(self._name, pa.string()),
                ontology=np.frombuffer(bytes(self._ontology), np.uint8),
                prior=prior,
                specific=np.fromiter(map(_of_one_species, self._number), np.uint8, count),
                parent_start=parent_start,
                parent=parent,
                old_ids=pa.array([item[0] for item in old], pa.string()),
                old_concept=np.array([item[1] for item in old], np.uint32),
                prefixes=tuple(self._prefix),
                sources=tuple(self.sources),
            )
        )

    def _concept(self, concept_id: str, prefix: str) -> int:
        number = self._number.setdefault(concept_id, len(self._number))
        if number == len(self._name):
            self._name.append(None)
            self._ontology.append(self._prefix[prefix])
        return number

    def _add_name(self, text: str, number: int, tier: int) -> None:
        self._texts.append(text)
        self._owner.append(number)
        self._tier.append(tier)
        if self._ontology[number] == self._chemical and (plain := spoken(text)) != text:
            self._texts.append(plain)
            self._owner.append(number)
            self._tier.append(RELATED)
        head, comma, tail = text.partition(", ")
        if comma and "," not in tail:  # "receptor, insulin" is said "insulin receptor"
            self._texts.append(f"{tail} {head}")
            self._owner.append(number)
            self._tier.append(max(tier, SYNONYM))
        if len(self._texts) >= AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._parts.append(keys(self._texts))
        self._texts = []


_STEREO = re.compile(r"^\([^()]*\)-(?=\w)|^[LDSRNO]-(?=[a-z])|-[LDSR]-(?=[a-z])|\((?:\d*[+-]|\d+)\)$")


def spoken(name: str) -> str:
    """A chemical's name as it is said: without descriptors of isomers and charges.

    >>> spoken("phosphatidyl-L-serine"), spoken("(S)-AMPA"), spoken("calcium(2+)")
    ('phosphatidylserine', 'AMPA', 'calcium')
    """
    return _STEREO.sub("", name)


def _of_one_species(concept_id: str) -> bool:
    """PR names the neutral classes by numbers and those of one species by UniProt accessions."""
    return concept_id.startswith("PR:") and not concept_id[3:].isdecimal()


def _distinct(
    key: NDArray[np.uint64],
    folded: NDArray[np.uint16],
    exact: NDArray[np.uint8],
    tier: NDArray[np.uint8],
    concept: NDArray[np.uint32],
) -> NDArray[np.int64]:
    """Where the names are, sorted by key, without a concept's names that are equal in all forms to a better one."""
    order = np.lexsort((tier, exact, folded, concept, key))
    same = np.ones(len(order), np.bool_)
    same[:1] = False
    for column in (key, folded, exact, concept):
        same[1:] &= column[order[1:]] == column[order[:-1]]
    kept: NDArray[np.int64] = order[~same & (key[order] != 0)]
    return kept


def _rows(
    child: NDArray[np.uint32], parent: NDArray[np.uint32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Pairs as rows: where each child's parents begin, and the parents."""
    order = np.lexsort((parent, child))
    start = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(child, minlength=count), out=start[1:])
    return start, parent[order]
