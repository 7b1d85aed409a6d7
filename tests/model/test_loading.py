"""Checkpoints of all kinds, and what is none."""

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification

from craft_ray.core.errors import SettingsError
from craft_ray.model.checkpoint import update_config
from craft_ray.model.inference import Model
from craft_ray.model.loading import DEFAULT, SHIPPED, _read_own, _read_with_transformers, find_model, load_checkpoint
from tests.conftest import save_random_bert
from tests.support.models import predict, windows_of


def test_a_bert_base_with_a_cased_vocabulary_and_bin_weights_is_read(tmp_path: Path):
    """The form of the card's checkpoint: BERT base shape, `pytorch_model.bin`, `vocab.txt`, one label spelt GENE."""
    folder = save_random_bert(tmp_path, hidden_size=768, layers=12, heads=12, intermediate_size=3072)
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
    assert score[:5] == pytest.approx(reference.max(-1).values.tolist(), abs=1e-4)


class Hostile:
    """A pickle that would write a file on loading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_hostile_pickle_is_refused_and_not_run(tiny_checkpoint: Path, tmp_path: Path):
    for file in tiny_checkpoint.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    trace = tmp_path / "trace"
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Hostile(trace)}))
    with pytest.raises(SettingsError, match="cannot load the model"):
        load_checkpoint(str(tmp_path))
    assert not trace.exists()


def test_an_encoder_without_a_head_is_a_bad_setting(tmp_path: Path):
    folder = save_random_bert(tmp_path, hidden_size=32, layers=1, heads=2, intermediate_size=64)
    AutoModelForTokenClassification.from_pretrained(folder).bert.save_pretrained(folder)
    with pytest.raises(SettingsError, match="not fine-tuned"):
        load_checkpoint(str(folder))


def test_the_fingerprint_tells_models_apart(craft_iob, tiny_checkpoint: Path):
    assert craft_iob.fingerprint == load_checkpoint("craft-iob").fingerprint
    assert craft_iob.fingerprint != load_checkpoint(str(tiny_checkpoint)).fingerprint


def test_a_checkpoint_travels(craft_iob):
    copy = pickle.loads(pickle.dumps(craft_iob))
    assert copy.fingerprint == craft_iob.fingerprint
    assert copy.tags.names == craft_iob.tags.names


def test_a_model_that_ships_is_a_folder_and_a_line(craft_iob, tiny_checkpoint: Path, monkeypatch):
    assert load_checkpoint().fingerprint == load_checkpoint(DEFAULT).fingerprint
    monkeypatch.setitem(SHIPPED, "tiny", tiny_checkpoint)
    assert load_checkpoint("tiny").fingerprint == load_checkpoint(str(tiny_checkpoint)).fingerprint


def test_keys_of_a_config_are_set_and_all_others_stay(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"window_pieces": 64, "model_type": "bert"}')
    update_config(tmp_path, window_pieces=0, score_calibration=(1.5, 0.1))
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config == {"model_type": "bert", "window_pieces": 0, "score_calibration": [1.5, 0.1]}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_our_own_checkpoint_is_read_as_transformers_reads_it(name):
    """Fingerprint included, which says what must be annotated anew."""
    theirs = _read_with_transformers(str(SHIPPED[name]), name)
    ours = _read_own(SHIPPED[name], name)
    assert ours.tokenizer.to_str() == theirs.tokenizer.to_str()
    assert ours.positions == theirs.positions
    assert {int(i): label for i, label in ours.config["id2label"].items()} == theirs.config["id2label"]
    assert {**ours.config, "id2label": None} == {**theirs.config, "id2label": None}
    assert ours.weights.keys() == theirs.weights.keys()
    for parameter, array in ours.weights.items():
        assert array.dtype == theirs.weights[parameter].dtype
        assert np.array_equal(array, theirs.weights[parameter]), parameter


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.safetensors", b"damaged"), ("tokenizer.json", b"{}"), ("config.json", b'{"model_type": "bert", ')],
)
def test_a_damaged_checkpoint_of_our_own_is_a_bad_setting(tmp_path: Path, name, content):
    for file in SHIPPED["craft-iob"].iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match="cannot load the model"):
        load_checkpoint(str(tmp_path))


def test_a_checkpoint_of_our_own_without_a_head_for_its_labels_is_a_bad_setting(tmp_path: Path):
    for file in SHIPPED["craft-iob"].iterdir():
        if file.name != "config.json":
            (tmp_path / file.name).symlink_to(file)
    config = json.loads((SHIPPED["craft-iob"] / "config.json").read_text(encoding="utf-8"))
    del config["id2label"]["12"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SettingsError, match="no head for its 12 labels"):
        load_checkpoint(str(tmp_path))


def test_a_remote_model_leaves_nothing_behind_on_disk(tmp_path: Path):
    copied = tmp_path / "copy"
    checkpoint = load_checkpoint("s3://bucket/model", lambda url: Path(shutil.copytree(find_model(DEFAULT), copied)))
    assert not copied.exists()
    assert checkpoint.fingerprint == load_checkpoint(DEFAULT).fingerprint


def test_how_mentions_are_scored_anew_stands_in_the_models_config_and_is_part_of_the_model(
    tiny_checkpoint: Path, tmp_path: Path
):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    plain = load_checkpoint(str(folder))
    assert plain.rescoring is None
    update_config(folder, rescoring={"threshold": 0.3})
    scored = load_checkpoint(str(folder))
    assert scored.rescoring == {"threshold": 0.3}
    assert scored.fingerprint != plain.fingerprint  # its documents are others
    update_config(folder, rescoring=None)
    assert load_checkpoint(str(folder)).fingerprint == plain.fingerprint
