"""Evaluation of checkpoints on real sentences and articles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score, recall_score

from craft_ray.annotation.tagger import Tagger
from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.model.tags import Mention
from craft_ray.model.windows import Windower
from craft_ray.training.corpora import GoldDocument, TaggedSentence
from craft_ray.training.craft import read_craft
from craft_ray.training.evaluation import evaluate_documents, evaluate_tokens, label_ids_by_tag
from craft_ray.training.iob import read_iob
from craft_ray.training.seen_mentions import corpus_keys
from tests.support.ontologies import grounder

KEYS = {"precision", "recall", "f1", "accuracy", "loss", "per_label", "seen", "unseen", "ece"}


def test_scores_are_those_of_seqeval(craft_iob, model_of, data: Path):
    gold = read_iob(data / "craft-iob" / "devel.tsv")[:200]
    scores = evaluate_tokens(craft_iob, gold, model_of())
    assert scores.keys() >= KEYS
    subwords, windows = Windower.of(craft_iob)([s.words for s in gold])
    label, _ = model_of().predict(windows.token_ids, windows.window_length, windows.word_piece)
    name = {i: tag for tag, i in label_ids_by_tag(craft_iob).items()}
    predicted = [["O"] * len(s.words) for s in gold]
    for sentence, word, number in zip(subwords.word_sentence, subwords.word_index, label, strict=True):
        predicted[sentence][word] = name[number]
    tags = [s.tags for s in gold]
    assert scores["precision"] == pytest.approx(precision_score(tags, predicted))
    assert scores["recall"] == pytest.approx(recall_score(tags, predicted))
    assert scores["f1"] == pytest.approx(f1_score(tags, predicted))
    right = sum(a == b for s, p in zip(tags, predicted, strict=True) for a, b in zip(s, p, strict=True))
    assert scores["accuracy"] == pytest.approx(right / scores["words"])
    assert scores["seen"]["support"] + scores["unseen"]["support"] == scores["support"]
    assert scores["seen"]["f1"] > scores["unseen"]["f1"]


@pytest.mark.long
def test_craft_iob_keeps_its_score(craft_iob, model_of, data: Path):
    scores = evaluate_tokens(craft_iob, read_iob(data / "craft-iob" / "devel.tsv")[:1000], model_of())
    assert scores["f1"] > 0.81
    assert scores["accuracy"] > 0.95
    assert scores["ece"] < 0.05


@pytest.mark.long
def test_default_model_keeps_its_score(data: Path, tmp_path: Path):
    """On one of the nine articles of models/craft/dev-ids.txt, which it has not learned."""
    (tmp_path / "ids.txt").write_text("16507151\n")
    assert "16507151" in (SHIPPED["craft"] / "dev-ids.txt").read_text()
    gold = read_craft(data / "craft", tmp_path / "ids.txt")
    craft, craft_iob = (load_checkpoint(name) for name in ("craft", "craft-iob"))
    scores, _ = evaluate_documents(craft, gold)
    assert scores["f1"] > 0.83
    assert scores["f1"] > evaluate_documents(craft_iob, gold)[0]["f1"] + 0.15
    assert scores["ece"] < 0.15


def test_seen_mentions_of_a_given_corpus(craft_iob, model_of):
    gold = [TaggedSentence(["mice", "and", "rats"], ["B-Taxon", "O", "B-Taxon"])]
    checkpoint = replace(craft_iob, seen=None)
    assert evaluate_tokens(checkpoint, gold, model_of())["seen"] is None
    seen = corpus_keys([TaggedSentence(["mice"], ["B-Taxon"])])
    scores = evaluate_tokens(checkpoint, gold, model_of(), seen)
    assert (scores["seen"]["support"], scores["unseen"]["support"]) == (1, 1)


def test_documents_annotated_by_the_model_score_1(craft_iob, model_of, data: Path):
    (document, *_) = read_craft(data / "craft", data / "craft" / "ids-dev.txt")
    text = document.text[:6000]
    found = Tagger.load("craft-iob").tag(text)
    assert len(found) > 50
    gold = GoldDocument("x", text, tuple(Mention(e.start, e.end, e.label) for e in found), 3)
    empty = GoldDocument("y", "", ())
    scores, _ = evaluate_documents(craft_iob, [empty, gold, gold], model_of())
    assert scores["f1"] == 1.0
    assert scores["accuracy"] > 0.99  # the model may begin a mention by an I- tag
    assert scores["support"] == 2 * len(found)
    assert scores["discontinuous"] == 6
    assert scores.keys() >= KEYS
    shifted = replace(gold, mentions=tuple(Mention(m.start, m.end + 1, m.label) for m in gold.mentions))
    assert evaluate_documents(craft_iob, [shifted], model_of())[0]["f1"] == 0.0


def test_grounder_leaves_out_predictions(craft_iob, model_of):
    text = "Pax6 and Shh act in the mouse eye."
    by = grounder(grounded_only=frozenset({"Protein"}))
    found = Tagger(craft_iob, grounder=by).tag(text)
    assert found.left_out == {"Protein": 1}
    gold = GoldDocument("x", text, tuple(Mention(e.start, e.end, e.label) for e in found))
    scores, _ = evaluate_documents(craft_iob, [gold], model_of(), grounder=by)
    assert (scores["precision"], scores["left_out"]) == (1.0, 1)
    assert evaluate_documents(craft_iob, [gold], model_of())[0]["precision"] < 1.0


def test_unknown_labels_are_refused(craft_iob):
    with pytest.raises(SettingsError, match="which the model does not know"):
        evaluate_tokens(craft_iob, [TaggedSentence(["flu"], ["B-Disease"])])
    with pytest.raises(SettingsError, match="the label Disease, which the model does not know"):
        evaluate_documents(craft_iob, [GoldDocument("x", "flu", (Mention(0, 3, "Disease"),))])


def test_text_without_mentions(craft_iob, model_of):
    scores, _ = evaluate_documents(craft_iob, [GoldDocument("x", "mice", ())], model_of())
    assert scores["support"] == 0
    assert np.isfinite(scores["loss"])
