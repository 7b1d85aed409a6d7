"""Examples, the loss of several corpora, and the card's steps."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from craft_ray.core.labels import TAGS
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.windows import make_windows, tokenize_sentences
from craft_ray.training.averaging import AVERAGED_FILE
from craft_ray.training.corpora import Corpus, TaggedSentence, read_iob
from craft_ray.training.examples import IGNORED, join_examples, make_examples, word_labels
from craft_ray.training.material import TrainingData
from craft_ray.training.recipe import Recipe
from craft_ray.training.trainer import Phase, TrainingListener, _CorpusLoss, card_rows, fit
from tests.support.models import TOKENIZER


def test_craft_iob_train_makes_the_cards_1360_steps_an_epoch(data: Path):
    sentences = read_iob(data / "craft-iob" / "train.tsv")
    pieces = tokenize_sentences(TOKENIZER, [s.words for s in sentences])
    windows = make_windows(pieces, 510)
    labels = word_labels([s.tags for s in sentences], pieces, {tag: i for i, tag in enumerate(TAGS)})
    examples = make_examples(windows, labels, (101,), (102,))
    assert math.ceil(len(examples) / Recipe().batch_size) == 1360
    assert (examples.label != IGNORED).sum() == sum(len(s.words) for s in sentences)


@pytest.mark.parametrize(("limit", "size"), [(510, 0), (510, 64), (8, 0)])
def test_each_word_has_its_label_once_at_its_first_piece_whatever_the_windows(limit, size):
    sentences = [["Pax6", "in", "mice", "."] * 5, ["ok"], ["Shh", "acts"]]
    tags = [["B-Protein", "O", "B-Taxon", "O"] * 5, ["O"], ["B-Protein", "O"]]
    pieces = tokenize_sentences(TOKENIZER, sentences)
    number = {tag: i for i, tag in enumerate(TAGS)}
    examples = make_examples(
        make_windows(pieces, limit, size), word_labels(tags, pieces, number), prefix=(101,), suffix=(102, 103)
    )
    labels = [label for i in range(len(examples)) for label in examples[i]["labels"] if label != IGNORED]
    assert labels == [number[tag] for sentence in tags for tag in sentence]
    for i in range(len(examples)):
        assert examples[i]["input_ids"][0] == 101
        assert examples[i]["input_ids"][-2:] == [102, 103]
        assert len(examples[i]["input_ids"]) == len(examples[i]["labels"]) <= limit + 3
    twice = join_examples([examples, examples])
    assert len(twice) == 2 * len(examples)
    assert twice[len(examples)] == examples[0]


def test_a_words_loss_is_over_the_labels_of_its_own_corpus():
    corpus = np.array([0, 0, 1, 1, 1])
    logits = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, IGNORED, 3]])
    loss = _CorpusLoss(corpus)(SimpleNamespace(logits=logits), labels)
    own = torch.nn.functional.cross_entropy(logits[0, :1, :2], torch.tensor([1]))
    other = torch.nn.functional.cross_entropy(logits[0, 2:, 2:], torch.tensor([1]))
    assert loss == pytest.approx(float((own + other) / 2))
    assert _CorpusLoss(corpus)(SimpleNamespace(logits=logits), labels, 4) == pytest.approx(float((own + other) / 4))


def phase(tiny_checkpoint: Path, **settings) -> Phase:
    """A stage of forty short sentences for a small network."""
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    sentences = [["Pax6", "in", "mice", "."], ["Shh", "acts", "on", "rats", "again", "."]] * 20
    pieces = tokenize_sentences(TOKENIZER, sentences)
    number = {tag: i for i, tag in enumerate(TAGS)}
    tags = [["B-Protein", "O", "B-Taxon", "O"], ["B-Protein", "O", "O", "B-Taxon", "O", "O"]] * 20
    examples = make_examples(make_windows(pieces, 510), word_labels(tags, pieces, number), (101,), (102,))
    return Phase(
        config=checkpoint.config | {"id2label": dict(enumerate(TAGS))},
        weights=checkpoint.weights,
        word_shape=None,
        tokenizer=SimpleNamespace(pad_token_id=0),
        corpus=np.zeros(len(TAGS), np.int64),
        examples=(examples,),
        dev=examples,
        dev_sentence=pieces.word_sentence,
        recipe=Recipe(batch_tokens=160, precision="fp32", dropout=0.0, attention_dropout=0.0, **settings),
        learning_rate=1e-3,
        epochs=2,
    )


class Kept(TrainingListener):
    """Copies of the checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = 0
        self.checkpoints: list[Path] = []

    def on_step(self, step: int, steps: int) -> None:
        self.steps = step

    def on_epoch(self, rows: list[dict[str, float]], checkpoint: Path | None) -> None:
        self.checkpoints.append(Path(shutil.copytree(checkpoint, self.folder / str(len(rows)))))


def test_the_average_of_the_weights_lags_behind_them_and_survives_a_restart(tiny_checkpoint, tmp_path):
    stage, whole, resumed = phase(tiny_checkpoint, moving_average=0.9), Kept(tmp_path / "a"), Kept(tmp_path / "b")
    fit(stage, str(tmp_path / "whole"), whole)
    assert whole.steps == 2 * math.ceil(40 / (160 // 16))
    fit(stage, str(tmp_path / "resumed"), resumed, resume=str(whole.checkpoints[0]))
    last = [load_file(kept.checkpoints[-1] / AVERAGED_FILE) for kept in (whole, resumed)]
    weights = load_file(whole.checkpoints[-1] / "model.safetensors")
    assert set(last[0]) == set(weights) == set(stage.weights)
    for name, tensor in last[0].items():
        assert torch.allclose(tensor, last[1][name], atol=1e-6)
    head = "classifier.weight"
    begun = torch.from_numpy(np.array(stage.weights[head], np.float32))
    moved, averaged = ((w[head] - begun).norm() for w in (weights, last[0]))
    assert 0 < averaged < moved


def test_rows_are_the_cards():
    figures = {f"eval_{name}": 0.5 for name in ("loss", "precision", "recall", "f1", "accuracy")}
    history = [{"loss": 2.0, "epoch": 1.0, "step": 3}, {**figures, "epoch": 1.0, "step": 3}, {"train_loss": 1.0}]
    plain = dict.fromkeys(("loss", "precision", "recall", "f1", "accuracy"), 0.5)
    assert card_rows(history) == [{"training_loss": 2.0, "epoch": 1.0, "step": 3, **plain}]


def test_an_averaged_training_is_as_one_with_the_next_seed(tiny_checkpoint):
    corpus = Corpus("corpus", [TaggedSentence(["Pax6", "-", "Shh", "and", "α"], ["O"] * 5)] * 30)
    recipe = Recipe(epochs=2, averaged=2, noise=0.5, seed=7, window_pieces=20)
    data = TrainingData.load(str(tiny_checkpoint), corpus, corpus, [], recipe)
    alone = recipe.model_copy(update={"averaged": 1, "seed": 8})
    other = TrainingData.load(str(tiny_checkpoint), corpus, corpus, [], alone).last_stage({})
    second = data.last_stage({}, 1)
    assert second.recipe.seed == other.recipe.seed == 8
    assert len(second.examples) == len(other.examples) == 2
    for ours, theirs in zip(second.examples, other.examples, strict=True):
        assert (ours.token_ids == theirs.token_ids).all()
    assert any(
        (a.token_ids != b.token_ids).any() for a, b in zip(data.last_stage({}).examples, second.examples, strict=True)
    )
