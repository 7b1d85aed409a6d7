"""The loss over several corpora, and stages."""

import math
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.training.corpora import Corpus
from craft_ray.training.examples import IGNORED, Head
from craft_ray.training.recipe import Recipe
from craft_ray.training.train import cores_per_worker, finished, weights_of_base
from craft_ray.training.trainer import AVERAGED_FILE, fit, group_loss
from craft_ray.training.training_data import load_training_data
from tests.support.gold import gold


def test_loss_is_over_the_groups_of_the_corpus():
    logits = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[[1, IGNORED], [IGNORED, IGNORED], [IGNORED, 2]]])
    loss = partial(group_loss, (2, 3))
    own = torch.nn.functional.cross_entropy(logits[0, :1, :2], torch.tensor([1]))
    other = torch.nn.functional.cross_entropy(logits[0, 2:, 2:], torch.tensor([2]))
    assert loss(SimpleNamespace(logits=logits), labels) == pytest.approx(float((own + other) / 2))
    assert loss(SimpleNamespace(logits=logits), labels, 4) == pytest.approx(float((own + other) / 4))


def test_moving_average_lags_and_resumes(tiny_checkpoint: Path, tmp_path: Path):
    sentences = [gold("[Pax6|Protein] in [mice|Taxon]."), gold("[Shh|Protein] acts on [rats|Taxon].")] * 20
    corpus = Corpus("corpus", sentences)
    recipe = Recipe(learning_rate=1e-3, epochs=2, batch_tokens=160, precision="fp32", moving_average=0.9)
    data = load_training_data(str(tiny_checkpoint), corpus, corpus, [], recipe)
    steps = []

    def run(name: str, resume: str | None = None) -> list[Path]:
        kept = []
        fit(
            data,
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
    assert set(averages[0]) == set(weights) == set(data.weights)
    for name, tensor in averages[0].items():
        assert torch.allclose(tensor, averages[1][name], atol=1e-6)
    head = "classifier.weight"
    initial = torch.from_numpy(np.array(data.weights[head], np.float32))
    moved, averaged = ((w[head] - initial).norm() for w in (weights, averages[0]))
    assert 0 < averaged < moved


@pytest.mark.parametrize("groups", [(("Protein", "Taxon"),), (("Protein",), ("Taxon",))])
def test_outside_bias_changes_only_o(groups):
    """Of the head's groups; rows of other corpora are left out."""
    head = Head(groups)
    weights = {"classifier.bias": np.arange(13, dtype=np.float32), "other": np.ones(3)}
    shifted = finished(weights, head, Recipe(outside_bias=0.75), {})
    moved = shifted["classifier.bias"] - weights["classifier.bias"][: len(head.tags)]
    assert {tag for tag, by in zip(head.tags, moved, strict=True) if by} == {"O"}
    assert {float(by) for by in moved} == {0.0, 0.75}
    assert shifted["other"] is weights["other"]


def test_base_share_averages_with_the_base():
    new, base = (
        {"classifier.bias": np.arange(9.0), "other": np.ones(3)},
        {"classifier.bias": np.ones(3), "other": np.zeros(3)},
    )
    result = finished(new, Head((("Taxon",),)), Recipe(base_share=0.25), base)
    assert result["classifier.bias"].tolist() == [0.25, 1.0, 1.75]
    assert result["other"].tolist() == [0.75] * 3


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_the_base_has_the_labels_of_its_own_corpus(name):
    """Both models that ship were averaged with a base of the same labels."""
    checkpoint = load_checkpoint(name)
    labels = checkpoint.tags.names
    head = Head(tuple((label,) for label in labels) if checkpoint.label_pieces else (labels,))
    assert weights_of_base(name, head).keys() == checkpoint.weights.keys()
    with pytest.raises(SettingsError, match=f"the base {name} has other labels"):
        weights_of_base(name, Head((("Virus",),)))


@pytest.mark.parametrize(
    ("nodes", "workers", "cores"),
    [
        ([8], 1, 8),
        ([8], 2, 4),
        ([0, 1, 1], 1, 1),
        ([4, 2], 2, 2),
        ([4, 2], 3, 2),
        ([2], 3, 1),
        ([], 1, 1),
        ([0.5], 1, 1),
    ],
)
def test_a_worker_gets_no_more_cores_than_a_node_has(nodes: list[float], workers: int, cores: int):
    assert cores_per_worker(nodes, workers) == cores
