"""Evaluation of checkpoints on real sentences and articles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from craft_ray.annotation.tagger import Tagger
from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.model.tags import Mention
from craft_ray.training.corpora import GoldDocument, corpus_keys, select_labels
from craft_ray.training.craft import read_craft
from craft_ray.training.evaluation import evaluate_documents, evaluate_tokens
from tests.support.gold import gold as marked
from tests.support.ontologies import grounder

KEYS = {"precision", "recall", "f1", "accuracy", "loss", "per_label", "seen", "unseen", "ece"}


@pytest.mark.long
def test_default_model_keeps_its_score(data: Path, tmp_path: Path):
    """On one of the nine articles of models/craft/dev-ids.txt, which it has not learned."""
    (tmp_path / "ids.txt").write_text("16507151\n")
    assert "16507151" in (SHIPPED["craft"] / "dev-ids.txt").read_text()
    gold = read_craft(data / "craft", tmp_path / "ids.txt")
    craft, craft_iob = (load_checkpoint(name) for name in ("craft", "craft-iob"))
    scores, _ = evaluate_documents(craft, gold)
    assert scores["f1"] > 0.83
    six = select_labels(gold, {}, {m.label for m in gold[0].mentions} & set(craft_iob.tags.names))
    assert evaluate_documents(craft, six)[0]["f1"] > evaluate_documents(craft_iob, six)[0]["f1"] + 0.15
    assert scores["ece"] < 0.15


def test_seen_mentions_of_a_given_corpus(craft_iob, model_of):
    gold = [marked("[mice|Taxon] and [rats|Taxon]")]
    checkpoint = replace(craft_iob, seen=None)
    assert evaluate_tokens(checkpoint, gold, model_of())["seen"] is None
    seen = corpus_keys([marked("[mice|Taxon]")])
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
        evaluate_tokens(craft_iob, [marked("[flu|Virus]")])
    with pytest.raises(SettingsError, match="the label Virus, which the model does not know"):
        evaluate_documents(craft_iob, [GoldDocument("x", "flu", (Mention(0, 3, "Virus"),))])


def test_text_without_mentions(craft_iob, model_of):
    scores, _ = evaluate_documents(craft_iob, [GoldDocument("x", "mice", ())], model_of())
    assert scores["support"] == 0
    assert np.isfinite(scores["loss"])
