"""Scores of a model on a corpus whose labels have other names."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from craft_ray.cli.app import app
from craft_ray.core.errors import SettingsError


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    file = tmp_path / "corpus.tsv"
    file.write_text("The\tO\nmouse\tB-Organism\neye\tB-Organ\nhas\tO\nPax6\tO\n")
    return str(file)


def evaluate(*arguments: str) -> dict:
    command = ["evaluate", "documents", "--model", "craft-iob", "--json", *arguments]
    done = CliRunner().invoke(app, command, catch_exceptions=False, standalone_mode=False)
    return json.loads(done.stdout.splitlines()[-1])


def test_labels_are_mapped_and_others_do_not_count(corpus: str):
    """Pax6 is a Protein for the model, which the corpus does not annotate."""
    scores = evaluate("--gold", corpus, "--map", "Organism=Taxon", "--label", "Taxon")
    assert (scores["f1"], scores["support"], scores["unscored"]) == (1.0, 1, 1)
    assert list(scores["per_label"]) == ["Taxon"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--map", "Organism=Taxon"], "the label Organ, which the model does not know"),
        (["--map", "Virus=Taxon"], "no label Virus: it has Organ, Organism"),
        (["--label", "Taxon"], "no label Taxon: it has Organ, Organism"),
        (["--map", "Organism"], "OLD=NEW"),
    ],
)
def test_bad_labels_are_refused(corpus: str, options, message):
    with pytest.raises(SettingsError, match=message):
        evaluate("--gold", corpus, *options)
