"""A small ontology, and lexicons built from it."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from craft_ray.annotation.ground import ground
from craft_ray.concepts import lexicon_files
from craft_ray.concepts.build import LexiconBuilder
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.loading import all_prefixes
from craft_ray.concepts.obo import read_obo
from craft_ray.concepts.scores import scores_from_counts
from craft_ray.concepts.terms import Term
from craft_ray.core.descriptions import CRAFT_PREFIXES
from craft_ray.core.settings import Settings
from tests.support.outputs import commit, numbered_document

OBO = """format-version: 1.2
data-version: releases/2026-01-01
default-namespace: tiny

[Term]
id: CL:0000000
name: cell

[Term]
id: CL:0000540
name: neuron
synonym: "nerve cell" EXACT []
xref: MESH:D009474 {source="x"}
xref: PMID:1
is_a: CL:0000000 ! cell

[Term]
id: CL:0000740
name: retinal ganglion cell
alt_id: CL:0000741
synonym: "RGC" RELATED []
is_a: CL:0000540 {source="x"} ! neuron

[Term]
id: CL:0000001
name: old neuron
is_obsolete: true
replaced_by: CL:0000540

[Term]
id: PR:000012318
name: paired box protein Pax-6
synonym: "Pax6" EXACT PRO-short-label [PRO:1]
synonym: "aniridia \\"type\\" II" RELATED []

[Term]
id: PR:P63015
name: paired box protein Pax-6 (mouse)
synonym: "Pax6" EXACT []
is_a: PR:000012318

[Term]
id: PR:000004126
name: APCS

[Term]
id: PR:000014824
name: alpha-synuclein

[Term]
id: NCBITaxon:10090
name: Mus musculus
synonym: "mouse" EXACT genbank_common_name []
synonym: "mice" EXACT common_name []
xref: MESH:D051379

[Term]
id: NCBITaxon:4932
name: Saccharomyces cerevisiae
synonym: "yeast" RELATED []

[Term]
id: CHEBI:34018
name: (S)-AMPA

[Term]
id: GO:0005634
name: nucleus
namespace: cellular_component

[Term]
id: GO:0005657
name: replication fork
namespace: cellular_component

[Term]
id: GO:0008150
name: biological process
namespace: biological_process

[Term]
id: SO:0000704
name: gene

[Term]
id: MONDO:0005240
name: kidney disorder
synonym: "renal disease" EXACT []

[Term]
id: MONDO:0005377
name: nephrotic syndrome
is_a: MONDO:0005240

[Term]
id: MONDO:0005775
name: G6PD deficiency

[Term]
id: MONDO:0005090
name: schizophrenia

[Typedef]
id: part_of
name: part of
"""


@pytest.fixture
def no_lexicon_ships(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package without its lexicon, so that a test's ontologies are the only ones."""
    monkeypatch.setattr(lexicon_files, "SHIPPED", tmp_path / "no lexicon")


MAMMALS = OBO.replace('synonym: "mice" EXACT common_name []', 'synonym: "mice" EXACT []\nis_a: NCBITaxon:40674')
MAMMALS += "\n[Term]\nid: NCBITaxon:40674\nname: Mammalia\nxref: MESH:D008322\n"


def write_grounded_output(folder: Path) -> Path:
    """Write tables of thirty documents whose entities have the concepts of MAMMALS."""
    commit(folder / "out", [numbered_document(n) for n in range(30)])
    ground(str(folder / "out"), Settings(ontology=(obo_file(folder, MAMMALS),), keep_versions=2))
    return folder / "out"


def obo_file(folder: Path, text: str = OBO, name: str = "tiny.obo") -> str:
    """Write an ontology, compressed if its name ends with .gz."""
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


GENE_INFO = "#tax_id\tGeneID\tSymbol\tSynonyms\tdbXrefs\tdescription\ttype_of_gene\tOther_designations\n"
PAX6 = {
    9606: "5080\tPAX6\tAN2|D11S812E\tMIM:607108|HGNC:HGNC:8620\tpaired box 6\tprotein-coding\t-",
    10090: "18508\tPax6\tDey|Sey\tMGI:MGI:97490\tpaired box 6\tprotein-coding\tpaired box protein Pax-6",
}


def gene_info(folder: Path, taxon: int) -> str:
    """Write NCBI's gene_info of a species, with the gene PAX6 and a pseudogene of it."""
    path = folder / f"{taxon}.gene_info.gz"
    pseudogene = PAX6[taxon].replace("protein-coding", "pseudo").replace("PAX6\t", "PAX6P\t", 1)
    path.write_bytes(gzip.compress(f"{GENE_INFO}{taxon}\t{PAX6[taxon]}\n{taxon}\t9{pseudogene}\n".encode()))
    return str(path)


def builder(text: str = OBO, prefixes: Sequence[str] = all_prefixes(CRAFT_PREFIXES)) -> LexiconBuilder:
    """A builder that has read an ontology, with all namespaces of GO."""
    import io

    made = LexiconBuilder(prefixes)
    made.sources.append({"file": "tiny.obo", "prefix": "CL", "version": "releases/2026-01-01", "terms": 1, "names": 1})
    for item in read_obo(io.StringIO(text)):
        if isinstance(item, Term):
            made.add_term(item)
    return made


def grounder(strings: Mapping[tuple[str, str], int] | None = None, text: str = OBO, **how: Any) -> Grounder:
    """A grounder over an ontology and counted strings of a corpus; `how` are its other fields."""
    made = builder(text)
    made.add_strings(strings or {})
    lexicon = made.lexicon()
    return Grounder(lexicon, scores_from_counts(lexicon.prefixes, {}), CRAFT_PREFIXES, **how)
