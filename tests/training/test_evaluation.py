"""Evaluation of checkpoints on real sentences and articles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score, recall_score

from craft_ray.annotation.tagger import Tagger
from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.model.tags import Mention, find_mentions
from craft_ray.model.windows import Windower
from craft_ray.training.corpora import GoldDocument, corpus_keys, select_labels
from craft_ray.training.craft import read_craft
from craft_ray.training.evaluation import evaluate_documents, evaluate_tokens
from craft_ray.training.iob import read_iob
from tests.support.gold import gold as marked
from tests.support.ontologies import grounder

KEYS = {"precision", "recall", "f1", "accuracy", "loss", "per_label", "seen", "unseen", "ece"}


def test_scores_are_those_of_seqeval(craft_iob, model_of, data: Path):
    gold = read_iob(data / "craft-iob" / "devel.tsv")[:200]
    scores = evaluate_tokens(craft_iob, gold, model_of())
    assert scores.keys() >= KEYS
    units, windows = Windower.of(craft_iob)([s.text for s in gold])
    predictions = model_of().predict(windows.token_ids, windows.window_length, windows.unit_piece, windows.unit_inner)
    spans, _ = find_mentions(predictions, units.sentence, units.inner, craft_iob.tags)
    predicted = [["O"] * int((units.sentence == number).sum()) for number in range(len(gold))]
    tags = [list(sentence) for sentence in predicted]
    first = np.searchsorted(units.sentence, np.arange(len(gold)))
    for begin, last, label in spans.rows().tolist():
        number = units.sentence[begin]
        for unit in range(begin, last + 1):
            predicted[number][unit - first[number]] = f"{'B' if unit == begin else 'I'}-{craft_iob.tags.names[label]}"
    for number, sentence in enumerate(gold):
        own = np.flatnonzero(units.sentence == number)
        for m in sentence.mentions:
            inside = [u - first[number] for u in own if units.start[u] < m.end and units.end[u] > m.start]
            for index, unit in enumerate(inside):
                tags[number][unit] = f"{'I' if index else 'B'}-{m.label}"
    assert scores["precision"] == pytest.approx(precision_score(tags, predicted))
    assert scores["recall"] == pytest.approx(recall_score(tags, predicted))
    assert scores["f1"] == pytest.approx(f1_score(tags, predicted))
    right = sum(a == b for s, p in zip(tags, predicted, strict=True) for a, b in zip(s, p, strict=True))
    assert scores["accuracy"] == pytest.approx(right / scores["units"], abs=2e-3)  # the model may begin by an I- tag
    assert scores["seen"]["support"] + scores["unseen"]["support"] == scores["support"]
    assert scores["seen"]["f1"] > scores["unseen"]["f1"]


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
