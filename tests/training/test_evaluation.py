"""Scores, compared with seqeval's on real sentences and with standoff on real articles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score, recall_score

from craft_ray.annotation.tagger import Tagger
from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.shipped import SHIPPED
from craft_ray.model.tags import Mention
from craft_ray.model.windows import Windower
from craft_ray.training.corpora import TaggedSentence, keys_shown, read_iob
from craft_ray.training.craft import GoldDocument, read_craft
from craft_ray.training.evaluation import evaluate_documents, evaluate_tokens, tag_numbers
from tests.support.ontologies import grounder

KEYS = {"precision", "recall", "f1", "accuracy", "loss", "per_label", "seen", "unseen", "ece"}


def test_figures_on_real_sentences_are_those_of_seqeval(craft_iob, model_of, data: Path):
    gold = read_iob(data / "craft-iob" / "devel.tsv")[:400]
    scores = evaluate_tokens(craft_iob, gold, model_of())
    assert scores.keys() >= KEYS
    pieces, windows = Windower.of(craft_iob)([s.words for s in gold])
    label, _ = model_of().predict(windows.token_ids, windows.window_length, windows.word_piece)
    name = {i: tag for tag, i in tag_numbers(craft_iob).items()}
    predicted = [["O"] * len(s.words) for s in gold]
    for sentence, word, number in zip(pieces.word_sentence, pieces.word_index, label, strict=True):
        predicted[sentence][word] = name[number]
    tags = [s.tags for s in gold]
    assert scores["precision"] == pytest.approx(precision_score(tags, predicted))
    assert scores["recall"] == pytest.approx(recall_score(tags, predicted))
    assert scores["f1"] == pytest.approx(f1_score(tags, predicted))
    right = sum(a == b for s, p in zip(tags, predicted, strict=True) for a, b in zip(s, p, strict=True))
    assert scores["accuracy"] == pytest.approx(right / scores["words"])
    assert scores["seen"]["support"] + scores["unseen"]["support"] == scores["support"]
    assert scores["seen"]["f1"] > scores["unseen"]["f1"]


def test_craft_iob_keeps_its_score_and_its_scores_mean_what_they_say(craft_iob, model_of, data: Path):
    scores = evaluate_tokens(craft_iob, read_iob(data / "craft-iob" / "devel.tsv")[:1000], model_of())
    assert scores["f1"] > 0.81
    assert scores["accuracy"] > 0.95
    assert scores["ece"] < 0.05


def test_the_default_model_keeps_its_score_on_an_article_that_it_never_learnt(data: Path, tmp_path: Path):
    """One of the nine of models/craft/dev-ids.txt, over which F1 is in its card."""
    (tmp_path / "ids.txt").write_text("16507151\n")
    assert "16507151" in (SHIPPED["craft"] / "dev-ids.txt").read_text()
    gold = read_craft(data / "craft", tmp_path / "ids.txt")
    craft, craft_iob = (load_checkpoint(name) for name in ("craft", "craft-iob"))
    scores, _ = evaluate_documents(craft, gold)
    assert scores["f1"] > 0.83
    assert scores["f1"] > evaluate_documents(craft_iob, gold)[0]["f1"] + 0.15
    assert scores["ece"] < 0.15


def test_without_the_models_memory_a_corpus_tells_seen_from_unseen(craft_iob, model_of):
    gold = [TaggedSentence(["mice", "and", "rats"], ["B-Taxon", "O", "B-Taxon"])]
    forgetful = replace(craft_iob, seen=None)
    assert evaluate_tokens(forgetful, gold, model_of())["seen"] is None
    shown = keys_shown([TaggedSentence(["mice"], ["B-Taxon"])])
    scores = evaluate_tokens(forgetful, gold, model_of(), shown)
    assert (scores["seen"]["support"], scores["unseen"]["support"]) == (1, 1)


def test_documents_whose_gold_is_what_the_model_finds_score_1(craft_iob, model_of, data: Path):
    (document, *_) = read_craft(data / "craft", data / "craft" / "ids-dev.txt")
    text = document.text[:6000]
    found = Tagger.load("craft-iob").tag(text)
    assert len(found) > 50
    gold = GoldDocument("x", text, tuple(Mention(e.start, e.end, e.label) for e in found), {"Protein": 3})
    empty = GoldDocument("y", "", (), {})
    scores, _ = evaluate_documents(craft_iob, [empty, gold, gold], model_of())
    assert scores["f1"] == 1.0
    assert scores["accuracy"] > 0.99  # the model may begin a mention by an I- tag
    assert scores["support"] == 2 * len(found)
    assert scores["discontinuous"] == 6
    assert scores.keys() >= KEYS
    shifted = replace(gold, mentions=tuple(Mention(m.start, m.end + 1, m.label) for m in gold.mentions))
    assert evaluate_documents(craft_iob, [shifted], model_of())[0]["f1"] == 0.0


def test_mentions_that_no_concept_fits_are_no_predictions(craft_iob, model_of):
    text = "Pax6 and Shh act in the mouse eye."
    by = grounder(grounded_only=frozenset({"Protein"}))
    found = Tagger(craft_iob, grounder=by).tag(text)
    assert found.left_out == {"Protein": 1}
    gold = GoldDocument("x", text, tuple(Mention(e.start, e.end, e.label) for e in found), {})
    scores, _ = evaluate_documents(craft_iob, [gold], model_of(), grounder=by)
    assert (scores["precision"], scores["left_out"]) == (1.0, 1)
    assert evaluate_documents(craft_iob, [gold], model_of())[0]["precision"] < 1.0


def test_labels_that_the_model_does_not_know_are_a_bad_setting(craft_iob):
    with pytest.raises(SettingsError, match="which the model does not know"):
        evaluate_tokens(craft_iob, [TaggedSentence(["flu"], ["B-Disease"])])
    with pytest.raises(SettingsError, match="the label Disease, which the model does not know"):
        evaluate_documents(craft_iob, [GoldDocument("x", "flu", (Mention(0, 3, "Disease"),), {})])


def test_no_words_are_no_division_by_zero(craft_iob, model_of):
    scores, _ = evaluate_documents(craft_iob, [GoldDocument("x", "mice", (), {})], model_of())
    assert scores["support"] == 0
    assert np.isfinite(scores["loss"])
