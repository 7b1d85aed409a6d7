"""Training examples, the loss over several corpora, and stages."""

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
from craft_ray.model.windows import make_windows
from craft_ray.model.wordpieces import tokenize_sentences
from craft_ray.training.corpora import Corpus, TaggedSentence
from craft_ray.training.examples import IGNORED, Examples, join_examples, make_examples, word_labels
from craft_ray.training.iob import read_iob
from craft_ray.training.moving_average import AVERAGED_FILE
from craft_ray.training.recipe import Recipe
from craft_ray.training.train import with_outside_bias
from craft_ray.training.trainer import Stage, _CorpusLoss, card_rows, fit
from craft_ray.training.training_data import TrainingData
from tests.support.models import TOKENIZER

LABEL_IDS = {tag: i for i, tag in enumerate(TAGS)}


def examples_of(
    sentences: list[TaggedSentence], limit: int = 510, size: int = 0, suffix: tuple[int, ...] = (102,)
) -> Examples:
    subwords = tokenize_sentences(TOKENIZER, [s.words for s in sentences])
    labels = word_labels(sentences, subwords, LABEL_IDS)
    return make_examples(make_windows(subwords, limit, size), labels, (101,), suffix)


def test_craft_iob_has_1360_steps_an_epoch(data: Path):
    """As the published card has."""
    sentences = read_iob(data / "craft-iob" / "train.tsv")
    examples = examples_of(sentences)
    assert math.ceil(len(examples) / Recipe().batch_size) == 1360
    assert (examples.label != IGNORED).sum() == sum(len(s.words) for s in sentences)


@pytest.mark.parametrize(("limit", "size"), [(510, 0), (510, 64), (8, 0)])
def test_each_word_is_labelled_once(limit, size):
    sentences = [
        TaggedSentence(["Pax6", "in", "mice", "."] * 5, ["B-Protein", "O", "B-Taxon", "O"] * 5),
        TaggedSentence(["ok"], ["O"]),
        TaggedSentence(["Shh", "acts"], ["B-Protein", "O"]),
    ]
    examples = examples_of(sentences, limit, size, suffix=(102, 103))
    labels = [label for i in range(len(examples)) for label in examples[i]["labels"] if label != IGNORED]
    assert labels == [LABEL_IDS[tag] for sentence in sentences for tag in sentence.tags]
    for i in range(len(examples)):
        assert examples[i]["input_ids"][0] == 101
        assert examples[i]["input_ids"][-2:] == [102, 103]
        assert len(examples[i]["input_ids"]) == len(examples[i]["labels"]) <= limit + 3
    twice = join_examples([examples, examples])
    assert len(twice) == 2 * len(examples)
    assert twice[len(examples)] == examples[0]


def test_loss_is_over_the_labels_of_the_corpus():
    corpus = np.array([0, 0, 1, 1, 1])
    logits = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, IGNORED, 3]])
    loss = _CorpusLoss(corpus)(SimpleNamespace(logits=logits), labels)
    own = torch.nn.functional.cross_entropy(logits[0, :1, :2], torch.tensor([1]))
    other = torch.nn.functional.cross_entropy(logits[0, 2:, 2:], torch.tensor([1]))
    assert loss == pytest.approx(float((own + other) / 2))
    assert _CorpusLoss(corpus)(SimpleNamespace(logits=logits), labels, 4) == pytest.approx(float((own + other) / 4))


def test_moving_average_lags_and_resumes(tiny_checkpoint: Path, tmp_path: Path):
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    sentences = [
        TaggedSentence(["Pax6", "in", "mice", "."], ["B-Protein", "O", "B-Taxon", "O"]),
        TaggedSentence(["Shh", "acts", "on", "rats", "."], ["B-Protein", "O", "O", "B-Taxon", "O"]),
    ] * 20
    examples = examples_of(sentences)
    stage = Stage(
        config=checkpoint.config | {"id2label": dict(enumerate(TAGS))},
        weights=checkpoint.weights,
        word_shape=None,
        tokenizer=SimpleNamespace(pad_token_id=0),
        corpus=np.zeros(len(TAGS), np.int64),
        examples=(examples,),
        dev=examples,
        dev_sentence=np.repeat(np.arange(40), [len(s.words) for s in sentences]),
        recipe=Recipe(learning_rate=1e-3, epochs=2, batch_tokens=160, precision="fp32", moving_average=0.9),
    )
    steps = []

    def run(name: str, resume: str | None = None) -> list[Path]:
        kept = []
        fit(
            stage,
            str(tmp_path / name),
            lambda *step: steps.append(step),
            lambda rows, folder: kept.append(Path(shutil.copytree(folder, tmp_path / f"{name}-{len(rows)}"))),
            resume=resume,
        )
        return kept

    whole = run("whole")
    count = 2 * math.ceil(40 / (160 // 16))
    assert steps == [(step, count) for step in range(1, count + 1)]
    resumed = run("resumed", resume=str(whole[0]))
    averages = [load_file(kept[-1] / AVERAGED_FILE) for kept in (whole, resumed)]
    weights = load_file(whole[-1] / "model.safetensors")
    assert set(averages[0]) == set(weights) == set(stage.weights)
    for name, tensor in averages[0].items():
        assert torch.allclose(tensor, averages[1][name], atol=1e-6)
    head = "classifier.weight"
    initial = torch.from_numpy(np.array(stage.weights[head], np.float32))
    moved, averaged = ((w[head] - initial).norm() for w in (weights, averages[0]))
    assert 0 < averaged < moved


def test_rows_of_the_card():
    figures = {f"eval_{name}": 0.5 for name in ("loss", "precision", "recall", "f1", "accuracy")}
    history = [{"loss": 2.0, "epoch": 1.0, "step": 3}, {**figures, "epoch": 1.0, "step": 3}, {"train_loss": 1.0}]
    plain = dict.fromkeys(("loss", "precision", "recall", "f1", "accuracy"), 0.5)
    assert card_rows(history) == [{"training_loss": 2.0, "epoch": 1.0, "step": 3, **plain}]


def test_averaged_training_equals_one_with_the_next_seed(tiny_checkpoint):
    corpus = Corpus("corpus", [TaggedSentence(["Pax6", "-", "Shh", "and", "α"], ["O"] * 5)] * 30)
    recipe = Recipe(epochs=2, averaged=2, noise=0.5, seed=7, window_pieces=20)
    data = TrainingData.load(str(tiny_checkpoint), corpus, corpus, [], recipe)
    first, second = data.main_stage({}), data.main_stage({}, 1)
    alone = recipe.model_copy(update={"averaged": 1, "seed": 8})
    other = TrainingData.load(str(tiny_checkpoint), corpus, corpus, [], alone).main_stage({})
    assert second.recipe.seed == other.recipe.seed == 8

    def tokens(stage: Stage) -> list[list[int]]:
        return [examples.token_ids.tolist() for examples in stage.examples]

    assert len(second.examples) == 2
    assert tokens(second) == tokens(other) != tokens(first)


def test_outside_bias_changes_only_o():
    weights = {"classifier.bias": np.arange(13, dtype=np.float32), "other": np.ones(3)}
    shifted = with_outside_bias(weights, 0.75)
    moved = shifted["classifier.bias"] - weights["classifier.bias"]
    assert {tag: float(by) for tag, by in zip(TAGS, moved, strict=True) if by} == {"O": 0.75}
    assert shifted["other"] is weights["other"]
    assert weights["classifier.bias"][0] == 0
