"""Engines, batching and memory: the same answers however windows are run."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from craft_ray.model.engines import ENGINES
from craft_ray.model.engines.engine import EngineSpec, OutOfMemory
from craft_ray.model.engines.openvino import OpenVinoEngine
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.training.iob import read_iob
from tests.support.models import predict, windows_of


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"), ("torch", "fp32")],
)
def test_the_batch_around_a_window_changes_nothing(craft_iob, deployed_model, data: Path, engine, precision):
    """OpenVINO gives the same bits, in int8 too; torch's kernels sum in an order that depends on the batch."""
    sentences = [s.words for s in read_iob(data / "craft-iob" / "devel.tsv")[:150]]
    windows = windows_of(craft_iob, sentences)
    model = Model(deployed_model(precision, engine), threads=2)
    label, score = predict(model, windows)
    assert (label > 0).sum() > 150
    for budget in (64, 4096):
        model.token_budget = budget
        other_label, other_score = predict(model, windows)
        assert np.array_equal(label, other_label)
        assert score == pytest.approx(other_score, abs=1e-4 if engine == "torch" else 0)
    one = slice(0, windows.window_length[0])
    words = windows.word_piece < windows.window_length[0]
    alone, _ = model.predict(windows.token_ids[one], windows.window_length[:1], windows.word_piece[words])
    assert np.array_equal(alone, label[words])


def test_engines_and_formats_agree(craft_iob, model_of, data: Path):
    """fp32 exactly between engines; bf16 and int8 on nearly every word."""
    sentences = [s.words for s in read_iob(data / "craft-iob" / "devel.tsv")[:300]]
    windows = windows_of(craft_iob, sentences)
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
            assert score == pytest.approx(other_score, abs=1e-4)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_network_answers_the_same(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    # Else each core gets a process that compiles, and the import of torch in them takes longer than this network.
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    windows = windows_of(checkpoint, ["Pax6 acts in the mouse eye."] * 9 + ["Calcium."])
    plain, compiled = (
        predict(Model(prepare_model(checkpoint, "cpu", "fp32", "torch", compile)), windows) for compile in (False, True)
    )
    assert np.array_equal(plain[0], compiled[0])
    assert plain[1] == pytest.approx(compiled[1], abs=1e-5)


def test_logits_are_what_labels_come_from(craft_iob, model_of, data: Path):
    windows = windows_of(craft_iob, [s.words for s in read_iob(data / "craft-iob" / "devel.tsv")[:40]])
    for engine in ("openvino", "torch"):
        model = model_of("fp32", engine)
        label, score = predict(model, windows)
        logits = model.logits(windows.token_ids, windows.window_length, windows.word_piece)
        assert np.array_equal(logits.argmax(-1), label)
        assert torch.from_numpy(logits).softmax(-1).max(-1).values.numpy() == pytest.approx(score, abs=1e-5)


def test_threads_share_a_model(craft_iob, model_of, data: Path):
    windows = windows_of(craft_iob, [s.words for s in read_iob(data / "craft-iob" / "devel.tsv")[:80]])
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
    started, do = {}, {"start": OpenVinoEngine.start, "finish": OpenVinoEngine.finish}

    def start(self, batch):
        if step == "start" and len(batch.n_tokens) > 8:
            raise OutOfMemory("no memory left")
        request = do["start"](self, batch)
        started[id(request)] = batch
        return request

    def finish(self, request):
        if step == "finish" and len(started[id(request)].n_tokens) > 8:
            raise OutOfMemory("no memory left")
        return do["finish"](self, request)

    monkeypatch.setattr(OpenVinoEngine, "start", start)
    monkeypatch.setattr(OpenVinoEngine, "finish", finish)
    assert np.array_equal(predict(model, windows)[0], expected)
    assert model.token_budget == 128


class AllOutside:
    """An engine that finds nothing."""

    depth = 1
    packs = False

    def start(self, batch):
        return batch.token_ids.shape

    def finish(self, started):
        return np.zeros(started, np.int8), np.ones(started, np.float32)


def test_an_engine_is_a_file_and_a_line(tiny_checkpoint: Path, monkeypatch):
    spec = EngineSpec(
        name="nothing",
        devices={"cpu": ("fp32",)},
        fastest=lambda checkpoint, device: "fp32",
        deploy=lambda checkpoint, precision: None,
        load=lambda content, placement: AllOutside(),
    )
    monkeypatch.setitem(ENGINES, spec.name, spec)
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    model = Model(prepare_model(checkpoint, engine="nothing"))
    label, score = predict(model, windows_of(checkpoint, ["Pax6 acts in the mouse eye."]))
    assert label.tolist() == [0] * 7
    assert score.tolist() == [1] * 7
