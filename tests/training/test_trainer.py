"""Examples, the loss of several corpora, and the card's steps."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from craft_ray.core.labels import TAGS
from craft_ray.model.windows import make_windows, tokenize_sentences
from craft_ray.training.corpora import read_iob
from craft_ray.training.examples import IGNORED, join_examples, make_examples, word_labels
from craft_ray.training.recipe import Recipe
from craft_ray.training.trainer import _CorpusLoss, card_rows
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


def test_rows_are_the_cards():
    figures = {f"eval_{name}": 0.5 for name in ("loss", "precision", "recall", "f1", "accuracy")}
    history = [{"loss": 2.0, "epoch": 1.0, "step": 3}, {**figures, "epoch": 1.0, "step": 3}, {"train_loss": 1.0}]
    plain = dict.fromkeys(("loss", "precision", "recall", "f1", "accuracy"), 0.5)
    assert card_rows(history) == [{"training_loss": 2.0, "epoch": 1.0, "step": 3, **plain}]
