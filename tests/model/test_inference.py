"""Engines, batching and memory: the same predictions however windows are run."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from craft_ray.model.engines.engine import OutOfMemory
from craft_ray.model.engines.openvino import OpenVinoEngine
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.windows import Windows
from craft_ray.training.iob import read_iob
from tests.support.models import predict, windows_of


@pytest.fixture(scope="module")
def windows(craft_iob, data: Path) -> Windows:
    return windows_of(craft_iob, [s.text for s in read_iob(data / "craft-iob" / "devel.tsv")[:150]])


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"), ("torch", "fp32")],
)
def test_other_windows_of_a_batch_have_no_influence(deployed_model, windows, engine, precision):
    """OpenVINO gives the same bits; torch's kernels sum in an order that depends on the batch."""
    model = Model(deployed_model(precision, engine), threads=2)
    label, score = predict(model, windows)
    assert (label > 0).sum() > 150
    for budget in (64, 4096):
        model.token_budget = budget
        other_label, other_score = predict(model, windows)
        assert np.array_equal(label, other_label)
        assert score[label > 0] == pytest.approx(other_score[label > 0], abs=1e-4 if engine == "torch" else 0)
    first = slice(0, windows.window_length[0])
    words = windows.unit_piece < windows.window_length[0]
    only = replace(
        windows,
        token_ids=windows.token_ids[first],
        window_length=windows.window_length[:1],
        unit_piece=windows.unit_piece[words],
        unit_inner=windows.unit_inner[words],
    )
    alone, _ = predict(model, only)
    assert np.array_equal(alone, label[words])


def test_engines_and_formats_agree(craft_iob, data: Path, model_of):
    windows = windows_of(craft_iob, [s.text for s in read_iob(data / "craft-iob" / "devel.tsv")[:300]])
    label, score = predict(model_of("fp32", "openvino"), windows)
    for engine, precision, agreement in (
        ("torch", "fp32", 1.0),
        ("torch", "bf16", 0.999),
        ("openvino", "bf16", 0.999),
        ("openvino", "int8", 0.99),
    ):
        other_label, other_score = predict(model_of(precision, engine), windows)
        assert (label == other_label).mean() >= agreement, (engine, precision)
        if precision == "fp32":
            assert score[label > 0] == pytest.approx(other_score[label > 0], abs=1e-4)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_network(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    # By default each core gets a process that compiles, and importing torch there takes longer than this network.
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    windows = windows_of(checkpoint, ["Pax6 acts in the mouse eye."] * 9 + ["Calcium."])
    plain, compiled = (
        predict(Model(prepare_model(checkpoint, "cpu", "fp32", "torch", compile)), windows) for compile in (False, True)
    )
    assert np.array_equal(plain[0], compiled[0])
    assert plain[1] == pytest.approx(compiled[1], abs=1e-5)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_logits_match_labels_and_scores(windows, model_of, engine):
    model = model_of("fp32", engine)
    label, score = predict(model, windows)
    logits = model.logits(windows.token_ids, windows.window_length, windows.unit_piece)
    assert np.array_equal(logits.argmax(-1), label)
    best = torch.from_numpy(logits).softmax(-1).max(-1).values.numpy()
    assert best[label > 0] == pytest.approx(score[label > 0], abs=1e-5)


def test_stand_in():
    checkpoint = load_checkpoint("stand-in")
    windows = windows_of(checkpoint, ["Pax6 acts in the mouse eye."] * 20)
    model = Model.of(checkpoint)
    found = model.predict(windows.token_ids, windows.window_length, windows.unit_piece, windows.unit_inner)
    logits = model.logits(windows.token_ids, windows.window_length, windows.unit_piece)
    assert logits.shape == (len(windows.unit_piece), len(checkpoint.id2label))
    inside = checkpoint.tags.label >= 0
    unit, label = np.nonzero(logits * inside)
    kept = inside[found.label_id]
    assert len(unit)
    assert np.array_equal(found.unit[kept], unit)
    assert np.array_equal(found.label_id[kept], label)


def test_threads_share_a_model(windows, model_of):
    model = model_of("int8", "openvino")
    alone = predict(model, windows)
    with ThreadPoolExecutor(4) as pool:
        for label, score in pool.map(lambda _: predict(model, windows), range(8)):
            assert np.array_equal(label, alone[0])
            assert np.array_equal(score, alone[1])


@pytest.mark.parametrize("step", ["start", "finish"])
def test_out_of_memory_halves_the_budget(craft_iob, deployed_model, model_of, monkeypatch, step):
    windows = windows_of(replace(craft_iob, window_pieces=0), ["Pax6 acts in the mouse eye."] * 64)
    expected = predict(model_of("fp32", "openvino"), windows)[0]
    model = Model(deployed_model("fp32", "openvino"), token_budget=1024)
    started, original = {}, {"start": OpenVinoEngine.start, "finish": OpenVinoEngine.finish}

    def start(self, batch):
        if step == "start" and len(batch.n_tokens) > 8:
            raise OutOfMemory("no memory left")
        request = original["start"](self, batch)
        started[id(request)] = batch
        return request

    def finish(self, request):
        if step == "finish" and len(started[id(request)].n_tokens) > 8:
            raise OutOfMemory("no memory left")
        return original["finish"](self, request)

    monkeypatch.setattr(OpenVinoEngine, "start", start)
    monkeypatch.setattr(OpenVinoEngine, "finish", finish)
    assert np.array_equal(predict(model, windows)[0], expected)
    assert model.token_budget == 128
