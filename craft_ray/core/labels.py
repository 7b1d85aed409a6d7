"""The six entity labels of CRAFT, and the spelling of labels in the tables.

`Gene` is the published CRAFT card's name for CRAFT-IOB's tag GO, which holds **GO cellular components** (nuclear,
mitochondrial, chromosome). Genes and gene products by name (Pax6, BRCA1) are `Protein`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Label:
    """A kind of entity. `tag` is CRAFT-IOB's name, `ontology` the prefix of its concepts."""

    name: str
    tag: str
    ontology: str
    meaning: str


LABELS = (
    Label("Sequence", "SO", "SO", "sequence features: gene, allele, exon, mutant, wild type"),
    Label("Cell", "CL", "CL", "cell types"),
    Label("Protein", "GGP", "PR", "genes and gene products by name: Pax6, BRCA1"),
    Label("Gene", "GO", "GO", "GO cellular components: nuclear, mitochondrial, chromosome"),
    Label("Taxon", "Taxon", "NCBITaxon", "organisms"),
    Label("Chemical", "CHEBI", "CHEBI", "chemicals"),
)

ONTOLOGY = {label.name: label.ontology for label in LABELS}

_BY_SPELLING = {spelling.casefold(): label.name for label in LABELS for spelling in (label.name, label.tag)}

_TAG_NAMES = {label.tag for label in LABELS}

TAGS = ("O", *(f"{prefix}-{label.name}" for label in LABELS for prefix in "BI"))
"""Tags of a model trained here, in the order of its label ids."""


def canonical(name: str) -> str:
    """Spell one of the six labels as the tables do; other names stay.

    >>> canonical("GGP"), canonical("taxon"), canonical("Disease")
    ('Protein', 'Taxon', 'Disease')
    """
    return _BY_SPELLING.get(name.casefold(), name)


def is_craft(names: Iterable[str]) -> bool:
    """True if labels are CRAFT's own: all six in any spelling, or some in the spelling of CRAFT-IOB or the tables.

    In most corpora a `Gene` is a gene, not a cellular component. So a subset with `Gene` is CRAFT's only together with
    `Sequence`, which every part of CRAFT has.

    >>> is_craft(["SO", "CL", "GGP", "GENE", "Taxon", "CHEBI"]), is_craft(["Cell", "Taxon"])
    (True, True)
    >>> is_craft(["GENE"]), is_craft(["Gene", "Taxon"]), is_craft(["Gene", "Sequence"])
    (False, False, True)
    """
    given = set(names)
    own = set(ONTOLOGY)
    as_tables = given <= own and ("Gene" not in given or "Sequence" in given)
    return as_tables or given <= _TAG_NAMES or {canonical(name) for name in given} == own


def canonical_tags(tags: Sequence[str]) -> list[str]:
    """Spell IOB tags as the tables do, if their labels are CRAFT's: `B-GGP` becomes `B-Protein`."""
    if not is_craft(label_of(tag) for tag in set(tags) if tag != "O"):
        return list(tags)
    return [tag if tag == "O" else f"{tag[: len(tag) - len(label_of(tag))]}{canonical(label_of(tag))}" for tag in tags]


def label_of(tag: str) -> str:
    """Strip the prefix of a tag, if it has one."""
    return tag[2:] if tag[:2] in ("B-", "I-") else tag
