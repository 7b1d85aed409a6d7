"""Int8 ranges of checkpoints."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from craft_ray.cli.app import app
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.model.inference import Model
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.training import quantization
from craft_ray.training.iob import read_iob


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The checkpoint `craft-iob` without its ranges."""
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED["craft-iob"], folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["activation_ranges"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture
def corpus(data: Path, tmp_path: Path) -> Path:
    """The first sentences of the development set."""
    lines = (data / "craft-iob" / "devel.tsv").read_text(encoding="utf-8").split("\n\n")[:60]
    (tmp_path / "part.tsv").write_text("\n\n".join(lines) + "\n\n", encoding="utf-8")
    return tmp_path / "part.tsv"


def test_craft_iob_loses_little_in_int8(craft_iob, model_of, data: Path, request):
    """On all of devel F1 falls from 0.8260 to 0.8255; the short form uses a part, and a wider limit."""
    whole = request.config.getoption("long")
    dev = read_iob(data / "craft-iob" / "devel.tsv")[: None if whole else 400]
    exact, int8 = (quantization.evaluate_tokens(craft_iob, dev, model_of(p, "openvino")) for p in ("fp32", "int8"))
    assert exact["f1"] - int8["f1"] <= (quantization.MAX_F1_LOSS if whole else 0.006)
    assert int8["f1"] > 0.75


def test_quantize_adds_ranges(plain: Path, corpus: Path, monkeypatch):
    """The limit is wider: on so few sentences a single mention would exceed it."""
    monkeypatch.setattr(quantization, "MAX_F1_LOSS", 0.02)
    assert load_checkpoint(str(plain)).activation_ranges == {}
    arguments = ["quantize", str(plain), "--text", str(corpus), "--dev", str(corpus), "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    scores = json.loads(done.stdout.splitlines()[-1])
    assert scores["f1_int8"] >= scores["f1"] - quantization.MAX_F1_LOSS
    ranges = load_checkpoint(str(plain)).activation_ranges
    assert ranges.keys() == load_checkpoint().activation_ranges.keys()
    assert all(low <= 0 <= high for low, high in ranges.values())


def test_harmed_checkpoint_is_not_changed(plain: Path, corpus: Path, monkeypatch):
    """Much too narrow ranges simulate a network that loses in int8."""
    before = (plain / "config.json").read_bytes()
    measured = quantization.measure_ranges
    monkeypatch.setattr(quantization, "measure_ranges", lambda *args: dict.fromkeys(measured(*args), (-0.001, 0.001)))
    arguments = ["quantize", str(plain), "--text", str(corpus), "--dev", str(corpus)]
    with pytest.raises(RunError, match="is not changed"):
        CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
    assert (plain / "config.json").read_bytes() == before


def test_ranges_of_another_model_are_refused():
    checkpoint = replace(load_checkpoint(), activation_ranges={"bert.pooler.dense": (-1.0, 1.0)})
    with pytest.raises(SettingsError, match=r"bert\.pooler\.dense"):
        Model.of(checkpoint, "int8")
