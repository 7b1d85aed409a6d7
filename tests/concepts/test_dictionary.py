"""Names of a dictionary in texts, as mentions beside those of the model."""

from pathlib import Path

import numpy as np
import pytest

import craft_ray
from craft_ray.annotation.context import load_run_checkpoint
from craft_ray.annotation.ground import ground
from craft_ray.annotation.tagger import Tagger
from craft_ray.concepts.dictionary import BATCH_CHARACTERS, make_dictionary
from craft_ray.concepts.dictionary_files import load_dictionary
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from tests.support.ontologies import obo_file
from tests.support.outputs import STORAGE, assert_consistent, table

NAMES = ["HeLa", "HEK293", "abnormality of the hand", "hand", "TNF-α", "REST", "lung cancer", "NF", "the", "2"]
NAMES += ["naïve cell", "abnormal morphology of the left hand of the body"]
HP = """format-version: 1.2

[Term]
id: HP:0001250
name: Seizure
synonym: "Epileptic seizure" EXACT []
synonym: "Fit" RELATED []

[Term]
id: HP:0012469
name: Infantile spasms
is_a: HP:0001250
"""
CELLS = "name\tid\tlabel\nHeLa\tCVCL:0030\tCellLine\nHEK293\tCVCL:0045\tCellLine\nmouse\tACME:1\tCompound\n"
TEXT = "Seizures of infants. HeLa and HEK-293 cells, but not hela, have an epileptic seizure in the mouse."
EXPECTED = [
    ("Phenotype", "Seizures", "HP:0001250"),
    ("CellLine", "HeLa", "CVCL:0030"),
    ("CellLine", "HEK-293", "CVCL:0045"),
    ("Phenotype", "epileptic seizure", "HP:0001250"),
    ("Compound", "mouse", "ACME:1"),
]


@pytest.fixture
def dictionary(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "cells.tsv").write_text(CELLS)
    return str(tmp_path / "cells.tsv"), f"Phenotype={obo_file(tmp_path, HP, 'hp.obo.gz')}"


def found(text: str, names: list[str] = NAMES) -> list[str]:
    by = make_dictionary(names, np.zeros(len(names), np.int64), ["X"])
    return [text[start:end] for start, end in zip(*(c.tolist() for c in by.find([text])[1:3]), strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HeLa, hela and HELA", ["HeLa"]),
        ("HEK-293 HEK 293 HEK293T", ["HEK-293", "HEK 293"]),
        ("Abnormality of the hand, hands", ["Abnormality of the hand", "hands"]),
        ("abnormal morphology of the left hand of the body", ["abnormal morphology of the left hand of the body"]),
        ("TNF-alpha TNFalpha TNF-α tnf-α", ["TNF-alpha", "TNFalpha", "TNF-α"]),
        ("at rest; REST", ["REST"]),
        ("Lung cancers; lung, cancer; lung\ncancer", ["Lung cancers"]),
        ("NF-κB NF-1 NF", ["NF"]),
        ("the 2", []),
        ("nai\u0308ve cells of 𝛽", ["nai\u0308ve cells"]),
        ("", []),
    ],
)
def test_names_in_a_text(text: str, expected: list[str]):
    assert found(text) == expected


def test_a_word_of_a_name_is_several_in_a_text():
    assert found("HEK-293, H-E K293", ["HEK293"]) == ["HEK-293", "H-E K293"]


def test_texts_and_labels_are_kept_apart():
    by = make_dictionary(["lung cancer", "lung", "cancer"], np.array([0, 0, 1]), ["A", "B"])
    rows = by.find(["lung", None, "x" * BATCH_CHARACTERS, "cancer", "a lung cancer"])
    assert [tuple(column.tolist()) for column in rows] == [(0, 3, 4, 4), (0, 0, 2, 7), (4, 6, 13, 13), (0, 1, 0, 1)]


@pytest.mark.parametrize(
    "content", ["HeLa\tCVCL:0030\n", "HeLa\tCVCL_0030\tCellLine\n", "\tCVCL:0030\tX\n", "\n", "\xff"]
)
def test_a_bad_dictionary_is_refused(tmp_path: Path, content: str):
    path = tmp_path / "bad.tsv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"dictionary .*bad\.tsv"):
        load_dictionary(STORAGE, [str(path)])


def test_an_ontology_needs_a_label(tmp_path: Path):
    with pytest.raises(SettingsError, match="LABEL="):
        load_dictionary(STORAGE, [obo_file(tmp_path, HP)])


def test_refused_without_concepts(dictionary: tuple[str, ...]):
    with pytest.raises(SettingsError, match="concepts are off"):
        Tagger.load("stand-in", Settings(dictionary=dictionary, concepts=False))


def test_by_the_tagger_with_the_model_that_ships(dictionary: tuple[str, ...]):
    entities = Tagger.load("craft", Settings(dictionary=dictionary)).tag(TEXT)
    mentions = [(e.label, e.mention, e.concept_id) for e in entities]
    assert [one for one in mentions if one[0] in ("CellLine", "Phenotype", "Compound")] == EXPECTED
    assert ("Taxon", "mouse", "NCBITaxon:10088") in mentions  # overlaps the compound of that name
    assert all(TEXT[e.start : e.end] == e.mention for e in entities)


def test_the_longer_of_one_label_stays(tmp_path: Path):
    (tmp_path / "a.tsv").write_text("mouse eye\tX:1\tTaxon\nzebrafish\tX:2\tTaxon\nCRE mouse\tX:3\tTaxon\n")
    entities = Tagger.load("craft", Settings(dictionary=(str(tmp_path / "a.tsv"),))).tag("The mouse eye and zebrafish.")
    assert [(e.mention, e.concept_id) for e in entities if e.label == "Taxon"] == [
        ("mouse eye", "X:1"),
        ("zebrafish", "X:2"),
    ]


def test_the_fingerprint_covers_the_content(tmp_path: Path, dictionary: tuple[str, ...]):
    def fingerprint(**settings: tuple[str, ...]) -> str:
        return load_run_checkpoint(Settings(model="stand-in", **settings), STORAGE).fingerprint

    first = fingerprint(dictionary=dictionary)
    assert first != fingerprint()
    assert first == fingerprint(dictionary=dictionary)
    (tmp_path / "cells.tsv").write_text(CELLS.replace("HeLa", "Hela"))
    assert first != fingerprint(dictionary=dictionary)


@pytest.mark.integration
def test_by_annotate_and_ground(local_ray: None, tmp_path: Path, dictionary: tuple[str, ...]):
    file, output = tmp_path / "a.txt", tmp_path / "out"
    file.write_text(TEXT)
    craft_ray.annotate([file], output, model="stand-in", dictionary=dictionary)

    def rows() -> list[tuple[str, str, str]]:
        every = sorted(table(output, "entities").to_pylist(), key=lambda row: row["start"])
        columns = [(row["label"], row["mention"], row["concept_id"]) for row in every]
        return [one for one in columns if one[0] in ("CellLine", "Phenotype", "Compound")]

    assert rows() == EXPECTED
    assert_consistent(output)
    ground(str(output), Settings())
    assert rows() == EXPECTED
    assert {row["id"] for row in table(output, "concepts").to_pylist()} >= {"HP:0001250", "CVCL:0030", "ACME:1"}
