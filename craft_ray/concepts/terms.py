"""Terms of an ontology, independent of its file format."""

from typing import NamedTuple

EXACT, NARROW, BROAD, RELATED = "EXACT", "NARROW", "BROAD", "RELATED"
"""Scopes of synonyms, as OBO names them."""


class Term(NamedTuple):
    """One term.

    synonyms:     pairs of text and scope
    parents:      ids by is_a
    alternatives: older ids
    """

    id: str
    name: str | None = None
    namespace: str | None = None
    synonyms: tuple[tuple[str, str], ...] = ()
    parents: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    obsolete: bool = False
    replaced_by: str | None = None


def prefix_of(concept_id: str) -> str:
    """Prefix of a CURIE.

    >>> prefix_of("CHEBI:15377")
    'CHEBI'
    """
    return concept_id.partition(":")[0]
