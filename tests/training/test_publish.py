"""A checkpoint of labels of one's own, from corpus to answers."""

import json
from pathlib import Path

import pytest
import transformers
from safetensors.numpy import load_file

from craft_ray.annotation.tagger import Tagger
from craft_ray.core.descriptions import LabelDescription
from craft_ray.model.loading import load_checkpoint
from craft_ray.training.corpora import Corpus, TaggedSentence, keys_shown, mention_keys, read_iob
from craft_ray.training.material import TrainingData
from craft_ray.training.publish import export_checkpoint
from craft_ray.training.recipe import Recipe
from craft_ray.training.trainer import TrainingListener, fit

BIOES = """Bird NN B-Virus
flu NN E-Virus
kills VB O
hens NN S-Host
. . O

The DT O
goose NN S-Host
has VB O
mumps NN S-Virus"""


class Last(TrainingListener):
    """The last checkpoint's rows and weights."""

    def on_epoch(self, rows: list[dict[str, float]], checkpoint: Path | None) -> None:
        self.rows, self.weights = rows, load_file(checkpoint / "model.safetensors")


def test_labels_of_ones_own_are_learnt_and_come_back(tiny_checkpoint: Path, tmp_path: Path):
    (tmp_path / "viruses.txt").write_text("\n\n".join([BIOES] * 20))
    corpus = Corpus("viruses", read_iob(tmp_path / "viruses.txt"))
    recipe = Recipe(epochs=12, learning_rate=5e-3, batch_size=4, precision="fp32", dropout=0, attention_dropout=0)
    data = TrainingData.load(str(tiny_checkpoint), corpus, corpus, [], recipe)
    learnt = Last()
    fit(data.last_stage(data.weights), str(tmp_path / "checkpoints"), learnt)
    described = {"Virus": LabelDescription(meaning="a virus", prefixes=("MONDO",), colour="#CC3311")}
    trained = export_checkpoint(tmp_path / "model", data, learnt.weights, learnt.rows, corpus, corpus, described)
    assert trained.scores["f1"] == learnt.rows[-1]["f1"] == 1.0
    found = Tagger.load(str(tmp_path / "model")).tag("The goose has mumps")
    assert [(entity.label, entity.mention, entity.ontology) for entity in found] == [
        ("Host", "goose", None),
        ("Virus", "mumps", "MONDO"),
    ]
    assert "background:#cc3311" in found._repr_html_()
    assert load_checkpoint(str(tmp_path / "model")).descriptions == described
    assert "label_descriptions" not in TrainingData.load(str(tmp_path / "model"), corpus, corpus, [], recipe).config
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert set(config["label2id"]) == {"O", "B-Virus", "I-Virus", "B-Host", "I-Host"}
    card = (tmp_path / "model" / "README.md").read_text()
    assert "fine-tuned on viruses" in card
    assert "| Virus | MONDO | a virus | 1.0000 | 1.0000 | 1.0000 | 40 |" in card
    assert "cellular components" not in card


def test_what_the_base_was_measured_to_need_is_not_passed_on():
    corpus = Corpus("corpus", [TaggedSentence(["Pax6"], ["B-Protein"])])
    data = TrainingData.load("craft", corpus, corpus, [], Recipe())
    assert load_checkpoint("craft").activation_ranges
    assert not {"activation_ranges", "score_calibration", "window_pieces", "refine_mentions"} & set(data.config)
    assert data.config["hidden_size"] == 384


def test_keys_of_ones_own_labels_are_those_of_their_mentions(tmp_path: Path):
    (tmp_path / "viruses.txt").write_text(BIOES)
    shown = keys_shown(read_iob(tmp_path / "viruses.txt"))
    mentions = [("Virus", "Bird flu"), ("Host", "hens"), ("Host", "goose"), ("Virus", "mumps")]
    assert set(shown) == set(mention_keys(*zip(*mentions, strict=True)))


def test_a_base_whose_head_has_other_labels_is_read_without_a_word(capfd: pytest.CaptureFixture[str]):
    transformers.logging.set_verbosity_warning()
    transformers.logging.enable_progress_bar()
    corpus = Corpus("corpus", [TaggedSentence(["flu"], ["B-Virus"])])
    TrainingData.load("craft", corpus, corpus, [], Recipe())
    assert capfd.readouterr() == ("", "")
