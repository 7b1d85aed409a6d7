"""Terms of an ontology as its file gives them, whatever the format."""

from typing import NamedTuple

EXACT, NARROW, BROAD, RELATED = "EXACT", "NARROW", "BROAD", "RELATED"
"""Scopes of synonyms, as OBO names them."""


class Term(NamedTuple):
    """One term. `synonyms` are pairs of text and scope; `parents` its classes by is_a; `alternatives` its older ids."""

    id: str
    name: str | None = None
    namespace: str | None = None
    synonyms: tuple[tuple[str, str], ...] = ()
    parents: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    obsolete: bool = False
    replaced_by: str | None = None


def prefix_of(concept_id: str) -> str:
    """The prefix of a CURIE, as the Bioregistry spells it.

    >>> prefix_of("CHEBI:15377")
    'CHEBI'
    """
    return concept_id.partition(":")[0]
