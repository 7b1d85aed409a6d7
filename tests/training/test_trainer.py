"""Training examples, the loss over several corpora, and stages."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from craft_ray.model.loading import load_checkpoint
from craft_ray.model.windows import Windower
from craft_ray.model.wordpieces import Units
from craft_ray.training.corpora import Corpus, Sentence
from craft_ray.training.examples import IGNORED, Examples, Head, join_examples, make_examples, unit_tags
from craft_ray.training.iob import read_iob
from craft_ray.training.moving_average import AVERAGED_FILE
from craft_ray.training.recipe import Recipe
from craft_ray.training.train import with_outside_bias
from craft_ray.training.trainer import Stage, _GroupLoss, card_rows, fit
from craft_ray.training.training_data import TrainingData, label_config, make_head
from tests.support.gold import gold
from tests.support.models import TOKENIZER


def examples_of(
    sentences: list[Sentence], limit: int = 510, size: int = 0, nested: bool = False, suffix: tuple[int, ...] = (102,)
) -> tuple[Examples, Units, Head]:
    head, (places,) = make_head([Corpus("", sentences)], nested)
    units, windows = Windower(TOKENIZER, limit, size, nested)([s.text for s in sentences])
    return make_examples(windows, unit_tags(sentences, units, head, places), (101,), suffix), units, head


def test_craft_iob_has_1360_steps_an_epoch(data: Path):
    """As the published card has."""
    sentences = read_iob(data / "craft-iob" / "train.tsv")
    examples, units, _ = examples_of(sentences)
    assert math.ceil(len(examples) / Recipe().batch_size) == 1360
    assert (examples.tag != IGNORED).sum() == len(units.piece)


@pytest.mark.parametrize(("limit", "size"), [(510, 0), (510, 64), (8, 0)])
def test_each_word_is_labelled_once(limit, size):
    sentences = [
        gold("[Pax6|Protein] in [house mice|Taxon]. " * 5),
        gold("ok"),
        gold("[Shh|Protein] acts"),
    ]
    examples, _, _ = examples_of(sentences, limit, size, suffix=(102, 103))
    tags = [tag for i in range(len(examples)) for (tag,) in examples[i]["labels"].tolist() if tag != IGNORED]
    assert tags == [1, 0, 3, 4, 0] * 5 + [0, 1, 0]
    for i in range(len(examples)):
        assert examples[i]["input_ids"][0] == 101
        assert examples[i]["input_ids"][-2:].tolist() == [102, 103]
        assert len(examples[i]["input_ids"]) == len(examples[i]["labels"]) <= limit + 3
    twice = join_examples([examples, examples])
    assert len(twice) == 2 * len(examples)
    assert np.array_equal(twice[len(examples)]["labels"], examples[0]["labels"])


def test_each_piece_is_labelled_in_each_group():
    """`Pax6Cre` is several pieces; groups are in the order of the labels."""
    sentences = [gold("[[Pa|Protein]x6Cre mice|Taxon]")]
    examples, units, head = examples_of(sentences, nested=True)
    assert head.groups == (("Protein",), ("Taxon",))
    pieces = [sentences[0].text[a:b] for a, b in zip(units.start, units.end, strict=True)]
    assert "".join(pieces) == "Pax6Cremice"
    assert pieces[0] == "Pa"
    tags = examples[0]["labels"][1:-1].tolist()
    assert tags == [[1, 1], *[[0, 2]] * (len(pieces) - 1)]


def test_auxiliary_corpora_teach_the_labels_that_they_share():
    main = Corpus("main", [gold("[Pax6|Protein] in [mice|Taxon]")])
    other = Corpus("other", [gold("[flu|Virus] in [hens|Host]")]).renamed({"Host": "Taxon"})
    head, places = make_head([main, other], nested=True)
    assert head.groups == (("Protein",), ("Taxon",), ("Virus",))
    assert places[1] == {"Taxon": (1, 0), "Virus": (2, 0)}
    units, _ = Windower(TOKENIZER, 510)(["flu in hens"])
    tags = unit_tags(other.sentences, units, head, places[1])
    assert tags.tolist() == [[IGNORED, 0, 1], [IGNORED, 0, 0], [IGNORED, 1, 0]]
    flat, places = make_head([main, other], nested=False)
    assert flat.groups == (("Protein", "Taxon"), ("Virus",))
    assert places[1] == {"Taxon": (0, 1), "Virus": (1, 0)}


def test_loss_is_over_the_groups_of_the_corpus():
    logits = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[[1, IGNORED], [IGNORED, IGNORED], [IGNORED, 2]]])
    loss = _GroupLoss((2, 3))
    own = torch.nn.functional.cross_entropy(logits[0, :1, :2], torch.tensor([1]))
    other = torch.nn.functional.cross_entropy(logits[0, 2:, 2:], torch.tensor([2]))
    assert loss(SimpleNamespace(logits=logits), labels) == pytest.approx(float((own + other) / 2))
    assert loss(SimpleNamespace(logits=logits), labels, 4) == pytest.approx(float((own + other) / 4))


def test_moving_average_lags_and_resumes(tiny_checkpoint: Path, tmp_path: Path):
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    sentences = [
        gold("[Pax6|Protein] in [mice|Taxon]."),
        gold("[Shh|Protein] acts on [rats|Taxon]."),
    ] * 20
    examples, units, head = examples_of(sentences)
    stage = Stage(
        config=checkpoint.config | label_config(head),
        weights=checkpoint.weights | {n: checkpoint.weights[n][:5] for n in ("classifier.weight", "classifier.bias")},
        word_shape=None,
        tokenizer=SimpleNamespace(pad_token_id=0),
        head=head,
        main_groups=1,
        examples=(examples,),
        dev=examples,
        dev_units=units,
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
    corpus = Corpus("corpus", [gold("[Pax6|Protein] - Shh and α")] * 30)
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


@pytest.mark.parametrize("groups", [(("Protein", "Taxon"),), (("Protein",), ("Taxon",))])
def test_outside_bias_changes_only_o(groups):
    """Of the head's groups; rows of other corpora are left out."""
    head = Head(groups)
    weights = {"classifier.bias": np.arange(13, dtype=np.float32), "other": np.ones(3)}
    shifted = with_outside_bias(weights, head, 0.75)
    moved = shifted["classifier.bias"] - weights["classifier.bias"][: len(head.tags)]
    assert {tag for tag, by in zip(head.tags, moved, strict=True) if by} == {"O"}
    assert {float(by) for by in moved} == {0.0, 0.75}
    assert shifted["other"] is weights["other"]
