"""Packed weights: 8 bits each with a scale per row."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoModelForTokenClassification
from typer.testing import CliRunner

from craft_ray.cli.app import app
from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.model.weights import PACKED_FILE, PLAIN_FILE, read_weights, write_copy


def test_packing_keeps_each_weight_within_half_a_step(tmp_path: Path, tiny_checkpoint: Path):
    packed_file = write_copy(tiny_checkpoint, tmp_path / "packed", pack=True)
    exact, read = load_file(tiny_checkpoint / PLAIN_FILE), read_weights(packed_file)
    assert set(read) == set(exact)
    for name, array in exact.items():
        wanted = array.astype(np.float32)
        step = np.abs(wanted).max(-1, keepdims=True) / 127 if array.ndim == 2 else 0
        rounding = np.abs(wanted) * 2**-10 + 1e-7  # of fp16, in the scale and in the result
        assert read[name].dtype == np.float16
        assert (np.abs(read[name] - wanted) <= step / 2 + rounding).all(), name
    assert packed_file.stat().st_size < 0.6 * sum(array.size * 2 for array in exact.values()) + 10_000


def test_a_row_of_zeros_stays_zero(tmp_path: Path, tiny_checkpoint: Path):
    folder = write_copy(tiny_checkpoint, tmp_path / "plain", pack=False).parent
    from safetensors.numpy import save_file

    weights = load_file(folder / PLAIN_FILE)
    weights["classifier.weight"][0] = 0
    save_file(weights, folder / PLAIN_FILE, metadata={"format": "pt"})
    read = read_weights(write_copy(folder, tmp_path / "packed", pack=True))
    assert not read["classifier.weight"][0].any()
    assert read["classifier.weight"][1:].any()


def test_a_model_that_ships_is_published_for_transformers_and_back(tmp_path: Path):
    plain, back = tmp_path / "plain", tmp_path / "back"
    done = CliRunner().invoke(app, ["publish", "craft", str(plain), "--fp16"], catch_exceptions=False)
    assert done.stdout.startswith(f"{plain / PLAIN_FILE} ")
    CliRunner().invoke(app, ["publish", str(plain), str(back)], catch_exceptions=False)
    assert (back / PACKED_FILE).read_bytes() == (SHIPPED["craft"] / PACKED_FILE).read_bytes()
    shipped = load_checkpoint("craft")
    assert {load_checkpoint(str(folder)).fingerprint for folder in (plain, back)} == {shipped.fingerprint}
    theirs = AutoModelForTokenClassification.from_pretrained(plain, dtype="auto").state_dict()
    assert theirs.keys() == shipped.weights.keys()
    assert all(np.array_equal(theirs[name].numpy(), array) for name, array in shipped.weights.items())


def test_what_cannot_be_published(tmp_path: Path):
    for model, folder, message in (
        ("craft", str(tmp_path), f"cannot copy the model craft to {tmp_path}: File exists"),
        (str(tmp_path), "x", "has no config.json"),
    ):
        with pytest.raises(SettingsError, match=message):
            CliRunner().invoke(app, ["publish", model, folder], catch_exceptions=False, standalone_mode=False)
