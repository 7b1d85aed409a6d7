"""A checkpoint with labels of its own, from corpus to annotation."""

import json
from pathlib import Path

import pytest
import transformers
from safetensors.numpy import load_file

from craft_ray.annotation.tagger import Tagger
from craft_ray.core.descriptions import LabelDescription, descriptions_of
from craft_ray.model.loading import load_checkpoint
from craft_ray.training.corpora import Corpus
from craft_ray.training.iob import read_iob
from craft_ray.training.publish import TrainingResult, export_checkpoint, model_card
from craft_ray.training.recipe import Recipe
from craft_ray.training.trainer import fit
from craft_ray.training.training_data import load_training_data
from tests.support.gold import gold

BIOES = """Bird NN B-Virus
flu NN E-Virus
kills VB O
hens NN S-Host
. . O

The DT O
goose NN S-Host
has VB O
mumps NN S-Virus"""


@pytest.mark.parametrize("nested", [False, True])
def test_own_labels_are_learned(tiny_checkpoint: Path, tmp_path: Path, nested):
    (tmp_path / "viruses.txt").write_text("\n\n".join([BIOES] * 20))
    corpus = Corpus("viruses", read_iob(tmp_path / "viruses.txt"))
    recipe = Recipe(epochs=12, learning_rate=5e-3, batch_size=4, precision="fp32", dropout=0, attention_dropout=0)
    recipe = recipe.model_copy(update={"nested": nested})
    data = load_training_data(str(tiny_checkpoint), corpus, corpus, [], recipe)
    rows, weights = [], {}

    def on_checkpoint(rows_so_far: list[dict[str, float]], checkpoint: Path) -> None:
        rows[:] = rows_so_far
        weights.update(load_file(checkpoint / "model.safetensors"))

    fit(data, str(tmp_path / "checkpoints"), lambda *_: None, on_checkpoint)
    descriptions = {"Virus": LabelDescription(meaning="a virus", prefixes=("MONDO",), colour="#CC3311")}
    result = export_checkpoint(tmp_path / "model", data, weights, rows, corpus, corpus, descriptions)
    assert result.scores["f1"] == rows[-1]["f1"] == 1.0
    found = Tagger.load(str(tmp_path / "model")).tag("The goose has mumps")
    assert [(entity.label, entity.mention, entity.ontology) for entity in found] == [
        ("Host", "goose", None),
        ("Virus", "mumps", "MONDO"),
    ]
    assert "background:#cc3311" in found._repr_html_()
    assert load_checkpoint(str(tmp_path / "model")).descriptions == descriptions
    again = load_training_data(str(tmp_path / "model"), corpus, corpus, [], recipe)
    assert "label_descriptions" not in again.config
    assert load_checkpoint(str(tmp_path / "model")).label_pieces == nested
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert set(config["label2id"]) == {"O", "B-Virus", "I-Virus", "B-Host", "I-Host"}
    card = (tmp_path / "model" / "README.md").read_text()
    assert "fine-tuned on viruses" in card
    assert "| Virus | MONDO | a virus | 1.0000 | 1.0000 | 1.0000 | 40 |" in card
    assert "cellular components" not in card


def test_settings_of_the_base_are_not_inherited(capfd: pytest.CaptureFixture[str]):
    """And nothing is printed about the base's head, which has other labels."""
    transformers.logging.set_verbosity_warning()
    transformers.logging.enable_progress_bar()
    corpus = Corpus("corpus", [gold("[flu|Virus]")])
    data = load_training_data("craft", corpus, corpus, [], Recipe())
    assert load_checkpoint("craft").activation_ranges
    assert not {"activation_ranges", "score_calibration", "window_pieces", "refine_mentions"} & set(data.config)
    assert data.config["hidden_size"] == 384
    assert capfd.readouterr() == ("", "")


FIGURES = {"precision": 1.0, "recall": 0.5, "f1": 0.6667, "support": 2}


@pytest.mark.parametrize(
    ("labels", "row", "names_components"),
    [
        (["Disease"], "| Disease | MONDO | diseases | 1.0000 | 0.5000 | 0.6667 | 2 |", False),
        (["Sequence", "Gene"], "| Gene | GO | GO cellular components: nuclear", True),
        (["Gene", "Variant"], "| Gene |  |  | 1.0000", False),
    ],
)
def test_labels_of_a_card(labels: list[str], row: str, names_components: bool):
    scores = FIGURES | {"loss": 0.1, "accuracy": 0.9, "ece": 0.02, "per_label": dict.fromkeys(labels, FIGURES)}
    scores |= {"seen": FIGURES, "unseen": FIGURES}
    result = TrainingResult({"base": "craft", "train": "notes (3 sentences)"}, {}, {}, [], scores, scores)
    card = model_card(result, descriptions_of(labels))
    assert row in card
    assert ("not genes" in card) == names_components
