"""Loading checkpoints of all kinds, and folders that are none."""

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification

from craft_ray.core.errors import SettingsError
from craft_ray.model import loading
from craft_ray.model.checkpoint import update_config
from craft_ray.model.inference import Model
from craft_ray.model.loading import DEFAULT, SHIPPED, _read_own, _read_with_transformers, load_checkpoint
from craft_ray.model.weights import PACKED_FILE, unpacked_folder
from tests.conftest import save_random_bert
from tests.support.models import predict, windows_of


def test_published_form(tmp_path: Path):
    """`pytorch_model.bin`, `vocab.txt`, a cased vocabulary and one label spelt GENE."""
    folder = save_random_bert(tmp_path, hidden_size=768, layers=2, heads=12, intermediate_size=3072)
    model = AutoModelForTokenClassification.from_pretrained(folder)
    model.config.id2label = {i: re.sub("Gene", "GENE", tag) for i, tag in model.config.id2label.items()}
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Pax", "##6", "mouse", "the", "in", "."]
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": false}')

    checkpoint = load_checkpoint(str(folder))
    assert checkpoint.tags.names == ("Sequence", "Cell", "Protein", "Gene", "Taxon", "Chemical")
    windows = windows_of(checkpoint, ["Pax6 in the mouse.", "pax"])
    assert windows.token_ids.tolist() == [5, 6, 9, 8, 7, 10, 1]
    label, score = predict(Model.of(checkpoint, "fp32"), windows)
    reference = model.eval()(torch.tensor([[2, 5, 6, 9, 8, 7, 10, 3]])).logits.softmax(-1)[0, [1, 3, 4, 5, 6]]
    assert label[:5].tolist() == reference.argmax(-1).tolist()
    shown = np.flatnonzero(label[:5])
    assert score[shown] == pytest.approx(reference.max(-1).values.detach().numpy()[shown], abs=1e-4)
    assert len(shown)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_own_reader_agrees_with_transformers(name, tmp_path: Path):
    """Including everything that the fingerprint covers, which decides what is annotated again."""
    theirs = _read_with_transformers(unpacked_folder(str(SHIPPED[name]), tmp_path / name), name)
    ours = _read_own(SHIPPED[name], name)
    assert ours.tokenizer.to_str() == theirs.tokenizer.to_str()
    assert ours.positions == theirs.positions
    assert {int(i): label for i, label in ours.config["id2label"].items()} == theirs.config["id2label"]
    others = {"id2label": None, "transformers_version": None}  # the version is that of whoever wrote or read it last
    assert {**ours.config, **others} == {**theirs.config, **others}
    assert ours.weights.keys() == theirs.weights.keys()
    for parameter, array in ours.weights.items():
        assert array.dtype == theirs.weights[parameter].dtype
        assert np.array_equal(array, theirs.weights[parameter]), parameter


class Hostile:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_hostile_pickle_is_not_run(tiny_checkpoint: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    trace = tmp_path / "trace"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Hostile(trace)}))
    with pytest.raises(SettingsError, match="cannot load the model"):
        load_checkpoint(str(folder))
    assert not trace.exists()


def test_encoder_without_a_head(tmp_path: Path):
    folder = save_random_bert(tmp_path, hidden_size=32, layers=1, heads=2, intermediate_size=64)
    AutoModelForTokenClassification.from_pretrained(folder).bert.save_pretrained(folder)
    with pytest.raises(SettingsError, match="not fine-tuned"):
        load_checkpoint(str(folder))


CONFIG = json.loads((SHIPPED["craft-iob"] / "config.json").read_text(encoding="utf-8"))
TWELVE_LABELS = CONFIG | {"id2label": {i: label for i, label in CONFIG["id2label"].items() if i != "12"}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (PACKED_FILE, "damaged", "cannot load the model"),
        ("tokenizer.json", "{}", "cannot load the model"),
        ("config.json", '{"model_type": "bert", ', "cannot load the model"),
        ("config.json", json.dumps(TWELVE_LABELS), "no head for its 12 labels"),
        ("config.json", json.dumps(CONFIG | {"score_calibration": 1}), "a bad setting of craft_ray"),
        ("seen_mentions.npy", "damaged", "a bad seen_mentions.npy"),
    ],
)
def test_damaged_files(tmp_path: Path, name, content, message):
    for file in SHIPPED["craft-iob"].iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / name).unlink()
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError, match=message):
        load_checkpoint(str(tmp_path))


def test_weights_that_end_early(tmp_path: Path):
    folder = Path(shutil.copytree(SHIPPED["craft-iob"], tmp_path / "model"))
    os.truncate(folder / PACKED_FILE, (folder / PACKED_FILE).stat().st_size - 4)
    with pytest.raises(SettingsError, match="cannot load the model"):
        load_checkpoint(str(folder))


def test_names_and_fingerprints(craft_iob, tiny_checkpoint: Path, monkeypatch):
    assert load_checkpoint().fingerprint == load_checkpoint(DEFAULT).fingerprint != craft_iob.fingerprint
    monkeypatch.setitem(SHIPPED, "tiny", tiny_checkpoint)
    assert load_checkpoint("tiny").fingerprint == load_checkpoint(str(tiny_checkpoint)).fingerprint


def test_a_misspelt_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "_hub_is_reachable", lambda: False)
    with pytest.raises(SettingsError, match=r"cannot load the model crft: .*; did you mean craft\?"):
        load_checkpoint("crft")


def test_remote_model_is_deleted_after_loading(tmp_path: Path):
    copied = tmp_path / "copy"
    checkpoint = load_checkpoint("s3://bucket/model", lambda url: Path(shutil.copytree(SHIPPED[DEFAULT], copied)))
    assert not copied.exists()
    assert checkpoint.fingerprint == load_checkpoint(DEFAULT).fingerprint


def test_rescoring_changes_the_fingerprint(tiny_checkpoint: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    plain = load_checkpoint(str(folder))
    assert plain.rescoring is None
    update_config(folder, rescoring={"threshold": 0.3})
    rescored = load_checkpoint(str(folder))
    assert rescored.rescoring == {"threshold": 0.3}
    assert rescored.fingerprint != plain.fingerprint
    update_config(folder, rescoring=None)
    assert load_checkpoint(str(folder)).fingerprint == plain.fingerprint


def test_stand_in_needs_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with_weights = load_checkpoint("stand-in")
    folder = shutil.copytree(SHIPPED["craft"], tmp_path / "craft", ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setitem(SHIPPED, "craft", folder)
    assert load_checkpoint("stand-in").tokenizer == with_weights.tokenizer
