"""The entity labels of CRAFT, and the spelling of labels in the tables.

`Gene` is the published CRAFT card's name for CRAFT-IOB's tag GO, which holds **GO cellular components** (nuclear,
mitochondrial, chromosome). Genes and gene products by name (Pax6, BRCA1) are `Protein`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Label:
    """A kind of entity.

    layer:    folder of its mentions in CRAFT's release
    ontology: prefix of its concepts
    tag:      its name in CRAFT-IOB, which has the first six
    """

    name: str
    layer: str
    ontology: str
    meaning: str
    tag: str | None = None


LABELS = (
    Label("Sequence", "SO", "SO", "sequence features: gene, allele, exon, mutant, wild type", "SO"),
    Label("Cell", "CL", "CL", "cell types", "CL"),
    Label("Protein", "PR", "PR", "genes and gene products by name: Pax6, BRCA1", "GGP"),
    Label("Gene", "GO_CC", "GO", "GO cellular components: nuclear, mitochondrial, chromosome", "GO"),
    Label("Taxon", "NCBITaxon", "NCBITaxon", "organisms", "Taxon"),
    Label("Chemical", "CHEBI", "CHEBI", "chemicals", "CHEBI"),
    Label("Anatomy", "UBERON", "UBERON", "organs, tissues and parts of the body"),
    Label("Disease", "MONDO", "MONDO", "diseases"),
    Label("Process", "GO_BP", "GO", "GO biological processes: expression, development, apoptosis"),
    Label("Function", "GO_MF", "GO", "GO molecular functions: hybridization, binding"),
)

ONTOLOGY = {label.name: label.ontology for label in LABELS}

IOB_LABELS = tuple(label for label in LABELS if label.tag)
"""The labels of CRAFT-IOB and of the published card."""

_BY_SPELLING = {name.casefold(): label.name for label in LABELS for name in (label.name, label.tag) if name}

TAGS = ("O", *(f"{prefix}-{label.name}" for label in IOB_LABELS for prefix in "BI"))
"""Tags of a model for CRAFT-IOB, in the order of its label ids."""


def canonical(name: str) -> str:
    """Spell a label of CRAFT as the tables do; other names stay.

    >>> canonical("GGP"), canonical("taxon"), canonical("Virus")
    ('Protein', 'Taxon', 'Virus')
    """
    return _BY_SPELLING.get(name.casefold(), name)


def is_craft(names: Iterable[str]) -> bool:
    """True if labels are CRAFT's own: CRAFT-IOB's six in any spelling, or some as CRAFT-IOB or the tables spell them.

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
    iob = {label.tag: label.name for label in IOB_LABELS}
    return as_tables or given <= set(iob) or {canonical(name) for name in given} == set(iob.values())


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Distinct labels, CRAFT's own in the order of LABELS and before others, which are sorted.

    >>> in_order(["Virus", "Taxon", "Cell", "Taxon"])
    ('Cell', 'Taxon', 'Virus')
    """
    order = list(ONTOLOGY)
    return tuple(sorted(set(labels), key=lambda name: (order.index(name) if name in order else len(order), name)))


def canonical_tags(tags: Sequence[str]) -> list[str]:
    """Spell IOB tags as the tables do, if their labels are CRAFT's: `B-GGP` becomes `B-Protein`."""
    if not is_craft(label_of(tag) for tag in set(tags) if tag != "O"):
        return list(tags)
    return [tag if tag == "O" else f"{tag[: len(tag) - len(label_of(tag))]}{canonical(label_of(tag))}" for tag in tags]


_IOB2 = {"B": "B", "S": "B", "U": "B", "W": "B", "I": "I", "E": "I", "L": "I", "M": "I"}
"""Prefixes of IOB, BIOES, BILOU and BMES, and those of IOB2 that mean the same."""

_FORMS = tuple(
    map(
        re.compile,
        (
            r"(?P<of>[A-Z])-(?P<label>.+)",
            r"(?P<of>[A-Z])_(?P<label>.+)",
            r"(?P<label>.+)[-_](?P<of>[A-Z])",
            r"(?P<of>[A-Z])(?P<label>)",
        ),
    )
)

ONLY_LABEL = "Entity"
"""The label of tags that are letters alone."""


def as_iob2(tags: Iterable[str]) -> list[str]:
    """Convert the tags of a corpus or checkpoint to IOB2 if all are in one scheme, such as BIOES or BILOU.

    Letters may stand before or behind a label, or alone. IOB tags stay: the mentions in them are the same.

    >>> as_iob2(["S-Gene", "O", "B-Cell", "E-Cell"]), as_iob2(["Gene_B", "Gene_I"]), as_iob2(["B", "I", "O"])
    (['B-Gene', 'O', 'B-Cell', 'I-Cell'], ['B-Gene', 'I-Gene'], ['B-Entity', 'I-Entity', 'O'])
    """
    given = list(tags)
    distinct = set(given) - {"O"}
    for form in _FORMS:
        found = {tag: match for tag in distinct if (match := form.fullmatch(tag)) and match["of"] in _IOB2}
        if len(found) == len(distinct):
            iob2 = {tag: f"{_IOB2[match['of']]}-{match['label'] or ONLY_LABEL}" for tag, match in found.items()}
            return [iob2.get(tag, tag) for tag in given]
    return given


def label_of(tag: str) -> str:
    """Strip the prefix of a tag, if it has one."""
    return tag[2:] if tag[:2] in ("B-", "I-") else tag
