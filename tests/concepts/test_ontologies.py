import gzip
import json
import logging
from pathlib import Path

import pytest

from craft_ray.concepts.grounding import DEFAULT_PREFIXES
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.lexicon_files import build_lexicon
from craft_ray.concepts.loading import all_prefixes
from craft_ray.core.errors import SettingsError
from tests.support.ontologies import OBO, obo_file
from tests.support.outputs import STORAGE

PREFIXES = all_prefixes(DEFAULT_PREFIXES)


def read(file: str, prefixes: tuple[str, ...] = PREFIXES) -> Lexicon:
    return build_lexicon(STORAGE, [file], prefixes).lexicon()


def graph() -> dict[str, object]:
    obo = "http://purl.obolibrary.org/obo/"
    synonym = {"pred": "hasExactSynonym", "val": "nerve cell"}
    old = {"pred": "http://www.geneontology.org/formats/oboInOwl#hasAlternativeId", "val": "CL:0000541"}
    neuron = {"synonyms": [synonym], "basicPropertyValues": [old]}
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


def test_other_prefixes(tmp_path: Path):
    file = obo_file(tmp_path, OBO.replace("SO:", "MONDO:"))
    assert read(file, ("MONDO",)).indices(["MONDO:0000704", "CL:0000540"]).tolist() == [0, -1]


@pytest.mark.parametrize("zipped", [False, True])
def test_obo_graphs(tmp_path: Path, zipped: bool):
    content = json.dumps(graph()).encode()
    file = tmp_path / "cl.json"
    file.write_bytes(gzip.compress(content) if zipped else content)
    lexicon = read(str(file))
    cell, neuron = lexicon.indices(["CL:0000000", "CL:0000540"]).tolist()
    assert lexicon.indices(["CL:0000541", "CL:0000001"]).tolist() == [neuron, neuron]
    assert parents(lexicon, neuron) == [cell]
    assert lexicon.sources[0]["version"] == "v7"


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
