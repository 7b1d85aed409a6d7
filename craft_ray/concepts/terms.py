"""Terms of an ontology, independent of its file format."""

from collections.abc import Iterable
from typing import NamedTuple

EXACT, NARROW, BROAD, RELATED = "EXACT", "NARROW", "BROAD", "RELATED"
"""Scopes of synonyms, as OBO names them."""


class Term(NamedTuple):
    """One term.

    synonyms:     pairs of text and scope
    parents:      ids by is_a
    alternatives: older ids
    xrefs:        ids of the same concept elsewhere
    only_known:   whether it adds to known concepts alone
    taxon:        as in `Lexicon`
    """

    id: str
    name: str | None = None
    namespace: str | None = None
    synonyms: tuple[tuple[str, str], ...] = ()
    parents: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    obsolete: bool = False
    replaced_by: str | None = None
    xrefs: tuple[str, ...] = ()
    only_known: bool = False
    taxon: int = 0


_NO_CONCEPTS = frozenset({"GC_ID", "GOC", "http", "https", "ISBN", "PMID", "URL", "Wikipedia"})
"""Prefixes of cross-references to texts and people."""


GENES = "NCBIGene"
"""Prefix of genes, each of which is one of a species."""

SECOND_SOURCES = frozenset({"MESH"})
"""Vocabularies whose terms are the concepts that refer to them, and concepts of their own if none does."""


def concept_xrefs(values: Iterable[str]) -> tuple[str, ...]:
    """Cross-references that are CURIEs of concepts, without qualifiers behind them.

    >>> concept_xrefs(['MESH:D003924 {source="MONDO:equivalentTo"}', "PMID:1", "https://a.org", "some text"])
    ('MESH:D003924',)
    """
    curies = (value.split(None, 1)[0] for value in values if value.strip())
    return tuple(c for c in curies if (prefix := prefix_of(c)) != c and prefix not in _NO_CONCEPTS)


def prefix_of(concept_id: str) -> str:
    """Prefix of a CURIE.

    >>> prefix_of("CHEBI:15377")
    'CHEBI'
    """
    return concept_id.partition(":")[0]
