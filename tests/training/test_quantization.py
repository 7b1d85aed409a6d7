"""Int8 ranges of checkpoints."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from craft_ray.cli.app import app
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.model.inference import Model
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.model.weights import write_copy
from craft_ray.training.evaluation import evaluate_tokens
from craft_ray.training.iob import read_iob
from craft_ray.training.quantization import MAX_F1_LOSS


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The checkpoint `craft-iob` without its ranges."""
    folder = tmp_path / "model"
    write_copy(SHIPPED["craft-iob"], folder, pack=False)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["activation_ranges"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A sentence that `craft-iob` labels right in any precision."""
    (tmp_path / "mouse.tsv").write_text("The\tO\nmouse\tB-Taxon\neye\tO\n")
    return tmp_path / "mouse.tsv"


@pytest.mark.long
def test_craft_iob_keeps_its_score(craft_iob, model_of, data: Path):
    """F1 falls from 0.8336 to 0.8320 in int8."""
    dev = read_iob(data / "craft-iob" / "devel.tsv")
    exact, int8 = (evaluate_tokens(craft_iob, dev, model_of(p, "openvino")) for p in ("fp32", "int8"))
    assert exact["f1"] - int8["f1"] <= MAX_F1_LOSS
    assert int8["f1"] > 0.83
    assert exact["accuracy"] > 0.96
    assert exact["ece"] < 0.03


def test_quantize_adds_ranges(plain: Path, corpus: Path):
    arguments = ["quantize", str(plain), "--text", str(corpus), "--dev", str(corpus), "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(done.stdout.splitlines()[-1]) == {"f1": 1.0, "f1_int8": 1.0}
    ranges = load_checkpoint(str(plain)).activation_ranges
    assert ranges.keys() == load_checkpoint().activation_ranges.keys()
    assert all(low <= 0 <= high for low, high in ranges.values())


def test_harmed_checkpoint_is_not_changed(plain: Path, corpus: Path):
    """One unit with huge values, which nothing reads, leaves the others no steps of int8's range."""
    weights = load_file(plain / "model.safetensors")
    for layer in range(6):
        weights[f"bert.encoder.layer.{layer}.intermediate.dense.bias"][0] = 1e4
        weights[f"bert.encoder.layer.{layer}.output.dense.weight"][:, 0] = 0
    save_file(weights, plain / "model.safetensors")
    before = (plain / "config.json").read_bytes()
    arguments = ["quantize", str(plain), "--text", str(corpus), "--dev", str(corpus)]
    with pytest.raises(RunError, match="is not changed"):
        CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
    assert (plain / "config.json").read_bytes() == before


def test_ranges_of_another_model_are_refused():
    checkpoint = replace(load_checkpoint(), activation_ranges={"bert.pooler.dense": (-1.0, 1.0)})
    with pytest.raises(SettingsError, match=r"bert\.pooler\.dense"):
        Model.of(checkpoint, "int8")
