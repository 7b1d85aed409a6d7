"""BERT over packed windows gives the predictions of transformers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from craft_ray.model.batches import Batches
from craft_ray.model.engines.bert import Bert, attend_by_length, attend_flash, can_flash, layout_of
from craft_ray.model.engines.engine import is_bert
from craft_ray.model.engines.network import build_network
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.sentences import sentence_spans
from tests.model.engines.test_torch import SENTENCES, Synchronizations
from tests.support.models import windows_of


@pytest.fixture
def checkpoint(tiny_checkpoint: Path):
    return load_checkpoint(str(tiny_checkpoint))


def packed_batch(checkpoint, sentences, budget=512):
    windows = windows_of(replace(checkpoint, window_pieces=0), sentences)
    return Batches.of(windows.token_ids, windows.window_length, checkpoint.special).packed(0, budget)


def logits_of(network: Bert, batch) -> np.ndarray:
    with torch.inference_mode():
        arrays = (torch.from_numpy(array) for array in (batch.token_ids, batch.position_ids))
        return network(*arrays, layout_of(batch.offsets, "cpu")).logits.numpy()


@pytest.mark.parametrize("which", ["tiny", "craft-iob"])
def test_logits_are_those_of_transformers(checkpoint, craft_iob, which):
    """Up to the order of sums: 30 times the rounding error of fp32 at the size of the largest logit."""
    chosen = checkpoint if which == "tiny" else craft_iob
    batch = packed_batch(chosen, SENTENCES)
    assert batch.n_windows == 3
    packed = logits_of(Bert(chosen, torch.float32, attend_by_length), batch)
    theirs = build_network(chosen)
    for begin, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
        ids = torch.from_numpy(batch.token_ids[None, begin:end])
        with torch.inference_mode():
            alone = theirs(ids, torch.tensor([end - begin], dtype=torch.int32)).logits[0].numpy()
        assert packed[begin:end] == pytest.approx(alone, abs=30 * 2.0**-23 * float(np.abs(alone).max()))


def test_packed_and_padded_windows_of_an_article(data: Path):
    craft = load_checkpoint("craft")
    text = (sorted((data / "craft" / "txt").glob("*.txt"))[3]).read_text(encoding="utf-8")[:8_000]
    windows = windows_of(craft, [text[a:b] for a, b in sentence_spans(text)])
    deployed = prepare_model(craft, "cpu", "fp32", "torch")
    packed, padded = (Model(replace(deployed, packed=way), token_budget=1024, threads=2) for way in (True, False))
    columns = windows.token_ids, windows.window_length, windows.unit_piece
    found, other = (model.predict(*columns, windows.unit_inner) for model in (packed, padded))
    inside = craft.tags.label[found.label_id] >= 0
    assert inside.sum() > 80
    same = craft.tags.label[other.label_id] >= 0
    assert np.array_equal(found.unit[inside], other.unit[same])
    assert np.array_equal(found.label_id[inside], other.label_id[same])
    assert found.score[inside] == pytest.approx(other.score[same], abs=1e-4)
    best = packed.logits(*columns).reshape(len(windows.unit_piece), craft.tags.groups, -1).argmax(-1)
    assert np.count_nonzero(best) == inside.sum()


def test_filled_batches_give_a_window_the_same_bits(craft_iob):
    network = Bert(craft_iob, torch.float32, attend_by_length)
    longest = np.diff(packed_batch(craft_iob, SENTENCES[2:]).offsets)[0]

    def first_window(neighbours):
        batch = packed_batch(craft_iob, [SENTENCES[2], *neighbours])
        token_ids, position_ids, _ = batch.filled()
        filled = replace(batch, token_ids=token_ids, position_ids=position_ids)
        number = np.flatnonzero(np.diff(batch.offsets) == longest)[0]
        return logits_of(network, filled)[batch.offsets[number] : batch.offsets[number + 1]]

    alone = first_window([])
    assert np.array_equal(first_window(["Calcium."] * 3), alone)
    assert np.array_equal(first_window([*SENTENCES[:2], "Mice and rats are rodents that eat, " * 4 + "."]), alone)


def test_no_synchronization(checkpoint):
    batch = packed_batch(checkpoint, SENTENCES)
    network = Bert(checkpoint, torch.float32, attend_by_length)
    with Synchronizations() as found:
        logits_of(network, batch)
    assert found.count == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_flash_attention_accepts_a_batch(checkpoint, dtype):
    """On tensors without content, for which torch checks shapes and types as on a GPU."""
    token_ids, position_ids, offsets = packed_batch(checkpoint, SENTENCES).filled()
    network = Bert(checkpoint, dtype, attend_flash(longest=512))
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in network.modules():
            for name, parameter in list(module._parameters.items()):
                fake = torch.empty(parameter.shape, dtype=dtype, device="cuda")
                module._parameters[name] = torch.nn.Parameter(fake, requires_grad=False)
        arrays = (token_ids, position_ids, offsets)
        predictions = network(*(torch.empty(len(a), dtype=torch.int32, device="cuda") for a in arrays))
    assert predictions.logits.shape == (512, len(checkpoint.id2label))
    assert predictions.logits.device.type == "cuda"
    assert predictions.label.dtype == torch.int8


def test_can_flash(craft_iob):
    assert can_flash(craft_iob, torch.float16, (9, 0))
    assert can_flash(craft_iob, torch.bfloat16, (8, 0))
    assert not can_flash(craft_iob, torch.float32, (9, 0))
    assert not can_flash(craft_iob, torch.float16, (7, 5))


def test_is_bert(checkpoint):
    assert is_bert(checkpoint)
    for other in ({"model_type": "roberta"}, {"hidden_act": "gelu_new"}, {"position_embedding_type": "relative_key"}):
        assert not is_bert(replace(checkpoint, config=checkpoint.config | other))
