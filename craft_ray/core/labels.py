"""The six entity labels: their names, CRAFT-IOB's tags, their ontologies, and how a checkpoint spells them.

`Gene` is the published CRAFT card's name for CRAFT-IOB's tag GO, which holds **GO cellular components** (nuclear,
mitochondrial, chromosome). Genes and gene products by name (Pax6, BRCA1) are `Protein`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Label:
    """One kind of entity: `tag` is CRAFT-IOB's, `ontology` the one its mentions are annotated with."""

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
"""The tag set a model trained here predicts, in the order of its label ids."""


def canonical(name: str) -> str:
    """One of the six labels as the tables spell it; a name outside the six is returned as it is.

    >>> canonical("GGP"), canonical("taxon"), canonical("Disease")
    ('Protein', 'Taxon', 'Disease')
    """
    return _BY_SPELLING.get(name.casefold(), name)


def is_craft(names: Iterable[str]) -> bool:
    """True if labels are CRAFT's own: all six in any spelling, or some as CRAFT-IOB or the tables spell them.

    Elsewhere the same words mean other things: in most corpora a `Gene` is a gene, and not a cellular component. So
    some of the six with `Gene` among them are CRAFT's only beside `Sequence`, which every part of CRAFT has.

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
    """IOB tags of a model or a corpus as the tables spell them: `B-GGP` is `B-Protein` where the labels are CRAFT's."""
    if not is_craft(label_of(tag) for tag in set(tags) if tag != "O"):
        return list(tags)
    return [tag if tag == "O" else f"{tag[: len(tag) - len(label_of(tag))]}{canonical(label_of(tag))}" for tag in tags]


def label_of(tag: str) -> str:
    """The label of a tag with or without its prefix."""
    return tag[2:] if tag[:2] in ("B-", "I-") else tag


@dataclass(frozen=True, slots=True)
class TagSet:
    """The meaning of a checkpoint's label ids, as arrays indexed by label id, so that decoding stays in columns.

    `names` are the labels; `label[id]` is an index into them or -1 for `O`; `begins[id]` is true for a `B-` tag.
    `ontologies` are those of the labels, None where none is known.
    """

    names: tuple[str, ...]
    label: NDArray[np.int8]
    begins: NDArray[np.bool_]
    ontologies: tuple[str | None, ...]

    @classmethod
    def from_id2label(cls, id2label: Mapping[int, str]) -> "TagSet":
        """Read a checkpoint's `id2label`; tags without a prefix (`Protein`) count as inside tags.

        Raises SettingsError if there are none but `O`, as in a checkpoint that was never fine-tuned.
        """
        if sorted(id2label) != list(range(len(id2label))) or len(id2label) > 127:
            raise SettingsError("the model's label ids do not run from 0 to at most 126")
        tags = canonical_tags([id2label[i] for i in range(len(id2label))])
        bodies = [label_of(tag) for tag in tags]
        if all(name.startswith("LABEL_") for name in bodies):
            raise SettingsError("the model's labels have no names (LABEL_0, ...): is it fine-tuned for entities?")
        names = tuple(dict.fromkeys(name for name in bodies if name != "O"))
        if not names:
            raise SettingsError("the model has no entity labels")
        return cls(
            names=names,
            label=np.array([-1 if name == "O" else names.index(name) for name in bodies], np.int8),
            begins=np.array([tag.startswith("B-") for tag in tags], np.bool_),
            ontologies=tuple(ONTOLOGY[name] if is_craft(names) else None for name in names),
        )

    def with_ontologies(self, ontology: Mapping[str, str]) -> "TagSet":
        """The same, with the ontologies of some labels."""
        found = tuple(ontology.get(name, known) for name, known in zip(self.names, self.ontologies, strict=True))
        return replace(self, ontologies=found)


TAG_SET = TagSet.from_id2label(dict(enumerate(TAGS)))
