"""The model: agreement with transformers' own pipeline, independence of batching, memory, checkpoints of all kinds."""

import pickle
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from craft_ray.core.errors import SettingsError
from craft_ray.model.checkpoint import EMBEDDED_FOLDER
from craft_ray.model.engines.engine import OutOfMemory
from craft_ray.model.engines.openvino import GraphEngine
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.precision import choose_precision
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tagger import Tagger
from craft_ray.model.windows import make_windows, tokenize_sentences
from craft_ray.training.corpora import read_iob
from tests.conftest import save_random_bert


def windows_of(checkpoint, sentences):
    pieces = tokenize_sentences(Tokenizer.from_str(checkpoint.tokenizer), sentences)
    return make_windows(pieces, checkpoint.max_tokens, checkpoint.window_pieces)


def predict(model, windows):
    return model.predict(windows.token_ids, windows.window_length, windows.word_piece)


def test_spans_are_those_of_the_transformers_pipeline(data: Path):
    """Exact on real sentences: label, start and end of every mention; scores to a ten-thousandth.

    The pipeline takes a word for the continuation of another where a word's own form is of another length than its
    text (accents that the tokenizer strips); on the sentences of CRAFT this makes no difference.
    """
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted((data / "craft" / "txt").glob("*.txt"))[:2])
    sentences = [text[a:b] for a, b in sentence_spans(text)]
    assert len(sentences) > 300
    assert sum(not sentence.isascii() for sentence in sentences) > 15
    tagger = Tagger(
        replace(load_checkpoint(), calibration=(1.0, 0.0)), "fp32"
    )  # the pipeline's scores are not calibrated
    theirs = pipeline(
        "token-classification",
        model=AutoModelForTokenClassification.from_pretrained(EMBEDDED_FOLDER, dtype=torch.float32),
        tokenizer=AutoTokenizer.from_pretrained(EMBEDDED_FOLDER),
        aggregation_strategy="first",
        device="cpu",
    )
    mentions = 0
    for sentence, expected in zip(sentences, theirs(sentences, batch_size=8), strict=True):
        found = tagger.tag(sentence)
        assert [(e.label, e.start, e.end) for e in found] == [
            (e["entity_group"], e["start"], e["end"]) for e in expected
        ], sentence
        assert [e.score for e in found] == pytest.approx([float(e["score"]) for e in expected], abs=1e-4)
        mentions += len(found)
    assert mentions > 300


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"), ("torch", "fp32")],
)
def test_the_batch_around_a_window_changes_nothing(embedded, form_of, data: Path, engine, precision):
    """OpenVINO gives the same bits, in int8 too; torch's kernels sum in an order that depends on the batch."""
    sentences = [s.words for s in read_iob(data / "craft-iob" / "devel.tsv")[:150]]
    windows = windows_of(embedded, sentences)
    model = Model(form_of(precision, engine), threads=2)
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


def test_engines_and_formats_agree(embedded, model_of, data: Path):
    """fp32 exactly between engines; bf16 and int8 on nearly every word."""
    sentences = [s.words for s in read_iob(data / "craft-iob" / "devel.tsv")[:300]]
    windows = windows_of(embedded, sentences)
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


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_network_answers_the_same(tiny_checkpoint: Path):
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    windows = windows_of(checkpoint, ["Pax6 acts in the mouse eye."] * 9 + ["Calcium."])
    plain, compiled = (
        predict(Model(prepare_model(checkpoint, "cpu", "fp32", "torch", compile)), windows) for compile in (False, True)
    )
    assert np.array_equal(plain[0], compiled[0])
    assert plain[1] == pytest.approx(compiled[1], abs=1e-5)


def test_logits_are_what_labels_come_from(embedded, model_of, data: Path):
    windows = windows_of(embedded, [s.words for s in read_iob(data / "craft-iob" / "devel.tsv")[:40]])
    for engine in ("openvino", "torch"):
        model = model_of("fp32", engine)
        label, score = predict(model, windows)
        logits = model.logits(windows.token_ids, windows.window_length, windows.word_piece)
        assert np.array_equal(logits.argmax(-1), label)
        assert torch.from_numpy(logits).softmax(-1).max(-1).values.numpy() == pytest.approx(score, abs=1e-5)


def test_threads_share_a_model(embedded, model_of, data: Path):
    windows = windows_of(embedded, [s.words for s in read_iob(data / "craft-iob" / "devel.tsv")[:200]])
    model = model_of("int8", "openvino")
    alone = predict(model, windows)
    with ThreadPoolExecutor(4) as pool:
        for label, score in pool.map(lambda _: predict(model, windows), range(8)):
            assert np.array_equal(label, alone[0])
            assert np.array_equal(score, alone[1])


@pytest.mark.parametrize("step", ["start", "finish"])
def test_running_out_of_memory_halves_the_budget_and_loses_nothing(embedded, form_of, model_of, monkeypatch, step):
    windows = windows_of(replace(embedded, window_pieces=0), ["Pax6 acts in the mouse eye."] * 64)
    expected = predict(model_of("fp32", "openvino"), windows)[0]
    model = Model(form_of("fp32", "openvino"), token_budget=1024)
    started, do = {}, {"start": GraphEngine.start, "finish": GraphEngine.finish}

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

    monkeypatch.setattr(GraphEngine, "start", start)
    monkeypatch.setattr(GraphEngine, "finish", finish)
    assert np.array_equal(predict(model, windows)[0], expected)
    assert model.token_budget == 128


def test_what_auto_stands_for(embedded, tiny_checkpoint: Path, monkeypatch):
    plain = load_checkpoint(str(tiny_checkpoint))
    able = {"avx512_vnni": True, "avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_precision(embedded, "cpu", "auto", "auto") == ("int8", "openvino")
    assert choose_precision(plain, "cpu", "auto", "auto") == ("bf16", "openvino")
    assert choose_precision(embedded, "cpu", "auto", "torch") == ("fp32", "torch")
    assert choose_precision(embedded, "cuda", "auto", "auto") == ("fp16", "torch")
    able.clear()
    assert choose_precision(embedded, "cpu", "auto", "auto") == ("fp32", "openvino")


@pytest.mark.parametrize(
    ("device", "precision", "engine", "says"),
    [
        ("cpu", "int8", "auto", "no activation_ranges"),
        ("cpu", "fp16", "auto", "openvino computes in"),
        ("cuda", "int8", "auto", "torch computes in"),
        ("cuda", "auto", "openvino", "CPU alone"),
        ("cpu", "fp8", "auto", "unknown precision"),
    ],
)
def test_what_a_device_cannot_compute_is_a_bad_setting(tiny_checkpoint: Path, device, precision, engine, says):
    with pytest.raises(SettingsError, match=says):
        choose_precision(load_checkpoint(str(tiny_checkpoint)), device, precision, engine)


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
    """What a pickle can do: on loading it would write a file."""

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


def test_the_fingerprint_tells_models_apart(embedded, tiny_checkpoint: Path):
    assert embedded.fingerprint == load_checkpoint().fingerprint
    assert embedded.fingerprint != load_checkpoint(str(tiny_checkpoint)).fingerprint


def test_a_checkpoint_travels(embedded):
    copy = pickle.loads(pickle.dumps(embedded))
    assert copy.fingerprint == embedded.fingerprint
    assert copy.tags.names == embedded.tags.names


def test_the_tagger_answers_simple_questions():
    tagger = Tagger.load()
    text = "Pax6 is expressed in the mouse eye; \U0001f9ec zebrafish neurons need calcium."
    found = tagger.tag(text)
    assert {"Taxon": "mouse", "Chemical": "calcium"}.items() <= {e.label: e.mention for e in found[::-1]}.items()
    assert all(text[e.start : e.end] == e.mention for e in found)
    assert ("Protein", "Pax6") in [(e.label, e.mention) for e in found]
    assert tagger.tag("") == []
