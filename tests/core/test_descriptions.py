"""Descriptions of labels."""

from pathlib import Path

import pytest

from craft_ray.core.descriptions import LabelDescription, as_json, check_labels, descriptions_of, read_descriptions
from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import ONTOLOGY

FILE = """
Disease:
  meaning: diseases and symptoms
  colour: "#CC3311"
  letters: Di
  prefixes: [MONDO, DOID]
Drug: {meaning: drugs}
"""


def test_descriptions_survive_a_checkpoint(tmp_path: Path):
    (tmp_path / "labels.yaml").write_text(FILE)
    read = read_descriptions(tmp_path / "labels.yaml")
    assert read["Disease"].prefixes == ("MONDO", "DOID")
    assert as_json(read)["Drug"] == {"meaning": "drugs"}
    assert descriptions_of(["Disease", "Drug", "Other"], as_json(read)) == read


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Disease: {colour: red}", "line 1"),
        ('Disease: {colour: "#fff;}body{"}', "setting colour"),
        ("Disease:\n  color: '#ffffff'", "did you mean colour"),
        ("Disease: an illness", "Disease has no values"),
        ("Disease: {letters: '<b>'}", "setting letters"),
    ],
)
def test_invalid_values(text: str, sentence: str, tmp_path: Path):
    (tmp_path / "labels.yaml").write_text(text)
    with pytest.raises(SettingsError, match=sentence) as failed:
        read_descriptions(tmp_path / "labels.yaml")
    assert "labels.yaml, line" in str(failed.value)


def test_unknown_label():
    with pytest.raises(SettingsError, match=r"Diseases is described.*; did you mean Disease?"):
        check_labels({"Diseases": LabelDescription()}, ["Disease"])


@pytest.mark.parametrize(("colour", "ink"), [("#ffffff", "black"), ("#000000", "white"), ("#F0E442", "black")])
def test_text_is_readable_on_its_colour(colour: str, ink: str):
    assert LabelDescription(colour=colour).style == f"{ink} on {colour.lower()}"


def test_craft_labels_need_no_file():
    assert descriptions_of(["Gene", "Taxon"], of_model=ONTOLOGY)["Gene"].prefixes == ("GO",)
    assert descriptions_of(["GENE"]) == {}
