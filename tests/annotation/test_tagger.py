"""One text at a time: agreement with transformers' own pipeline."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from craft_ray.annotation.tagger import Entities, Tagger
from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import Entity
from craft_ray.core.settings import Settings
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.model.sentences import sentence_spans
from tests.support.ontologies import OBO, no_lexicon_ships, obo_file  # noqa: F401  # a fixture


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
        replace(load_checkpoint("craft-iob"), calibration=(1.0, 0.0)), "fp32"
    )  # the pipeline's scores are not calibrated
    theirs = pipeline(
        "token-classification",
        model=AutoModelForTokenClassification.from_pretrained(SHIPPED["craft-iob"], dtype=torch.float32),
        tokenizer=AutoTokenizer.from_pretrained(SHIPPED["craft-iob"]),
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


@pytest.mark.parametrize("model", ["embedded", *SHIPPED])
def test_a_model_that_ships_answers_simple_questions(model):
    tagger = Tagger.load(model)
    text = "Pax6 is expressed in the mouse eye; \U0001f9ec zebrafish neurons need glucose."
    found = tagger.tag(text)
    named = {(e.label, e.mention) for e in found}
    assert named >= {("Protein", "Pax6"), ("Taxon", "mouse"), ("Cell", "neurons"), ("Chemical", "glucose")}
    assert all(text[e.start : e.end] == e.mention for e in found)
    assert tagger.tag("") == []


def test_greek_letters_minus_signs_and_abbreviations():
    found = Tagger.load().tag("PGC-1α−/− mice got doxycycline (dox). TNF-α fell with dox.")
    named = [(e.label, e.mention) for e in found]
    assert named[0] == ("Protein", "PGC-1α")
    assert ("Protein", "TNF-α") in named
    assert named.count(("Chemical", "dox")) == 2


def test_tag_many_equals_tag():
    tagger = Tagger.load("stand-in")
    texts = ["Pax6 in mice.", "", "The TNF-α of zebrafish. And 𝛽-actin.", "x " * 300]
    assert tagger.tag_many(texts) == [tagger.tag(text) for text in texts]
    assert [
        [text[e.start : e.end] for e in found] for text, found in zip(texts, tagger.tag_many(texts), strict=True)
    ] == [[e.mention for e in found] for found in tagger.tag_many(texts)]
    with pytest.raises(TypeError, match="several texts"):
        tagger.tag_many("Pax6")
    with pytest.raises(TypeError, match="not bytes"):
        tagger.tag(b"Pax6")


def test_notebook_html_is_escaped():
    text = "<b>Pax6</b> binds."
    shown = Entities(text, [Entity("Protein", 3, 7, "Pax6", 0.9, "text", "PR", 0, 18)])._repr_html_()
    assert "&lt;b&gt;<mark" in shown
    assert ">Pax6 <small>Protein</small></mark>&lt;/b&gt; binds." in shown


def test_some_labels_alone():
    """The same mentions as with all of them; another choice counts as another model."""
    text = "Pax6 is expressed in the mouse eye."
    everything = Tagger.load().tag(text)
    chosen = Tagger.load(settings=Settings(labels=("taxon",))).tag(text)
    assert chosen == [entity for entity in everything if entity.label == "Taxon"] != everything
    checkpoint = load_checkpoint()
    assert checkpoint.with_labels(["Taxon"]).fingerprint != checkpoint.fingerprint
    assert checkpoint.with_labels([]) is checkpoint
    with pytest.raises(SettingsError, match=r"labels Taxa: the model has no such label; did you mean Taxon\?"):
        Tagger.load(settings=Settings(labels=("Taxa",)))


@pytest.mark.usefixtures("no_lexicon_ships")
def test_grounded_only(tmp_path: Path):
    text = "Pax6 is expressed in the mouse eye; zebrafish neurons need glucose, and so does Shh."
    ontology = (obo_file(tmp_path, OBO + "\n[Term]\nid: NCBITaxon:7955\nname: Danio rerio\n"),)
    chosen = Tagger.load(settings=Settings(ontology=ontology, min_score=0, grounded_only=("Taxon",))).tag(text)
    every = Tagger.load(settings=Settings(ontology=ontology, min_score=0)).tag(text)
    assert {(e.label, e.mention, e.concept_id) for e in every} >= {
        ("Protein", "Pax6", "PR:000012318"),
        ("Protein", "Shh", None),
        ("Taxon", "mouse", "NCBITaxon:10090"),
        ("Taxon", "zebrafish", None),
        ("Chemical", "glucose", None),
    }
    assert not every.left_out
    assert list(chosen) == [e for e in every if e.concept_id or e.label != "Taxon"]
    assert chosen.left_out == {"Taxon": 1}
    alone = Tagger.load(settings=Settings(concepts=False)).tag(text)
    assert {(e.label, e.start, e.end) for e in alone} <= {(e.label, e.start, e.end) for e in every}
    assert not any(e.concept_match for e in alone)


def test_rescoring_of_the_model():
    text = "Pax6 is expressed in the mouse eye. " + "The Zfqx of each neuron was fixed by Wexl. " * 2
    by_default = Tagger.load().tag(text)
    every = Tagger.load(settings=Settings(min_score=0)).tag(text)
    lowest = load_checkpoint().rescoring["threshold"]
    assert list(by_default) == [e for e in every if e.score >= lowest]
    assert sum(by_default.left_out.values()) == len(every) - len(by_default)
    known = {e.mention: e.score for e in every}
    assert known["Pax6"] > 0.9
    assert known["mouse"] > 0.9


def test_less_likely_mentions_are_found_for_rescoring_alone():
    text = "Turnover of the complex and its recruitment to the plate were seen in the population."
    plain = load_checkpoint()
    more = plain.with_candidates()
    assert set(plain.rescoring["candidate_odds"]) <= set(plain.tags.names)
    assert more.fingerprint != plain.fingerprint
    assert spans(Tagger(plain, "fp32").tag(text)) == set()
    assert spans(Tagger(more, "fp32").tag(text)) == {("Gene", "complex")}
    every, alone = (Settings(precision="fp32", **given) for given in ({"min_score": 0}, {"concepts": False}))
    assert spans(Tagger.load(settings=every).tag(text)) == {("Gene", "complex")}
    assert spans(Tagger.load(settings=alone).tag(text)) == set()


def spans(entities: Entities) -> set[tuple[str, str]]:
    return {(entity.label, entity.mention) for entity in entities}


def test_what_is_no_text_and_no_document_is_told():
    tagger = Tagger.load("stand-in")
    for told, call in (
        ("tag_many takes several texts", lambda: tagger.tag_many("Pax6")),
        ("a text is a str, not bytes", lambda: tagger.tag(b"Pax6")),
        ("a text is a str, not NoneType", lambda: tagger.tag_many(["Pax6", None])),
        ("a document is a craft_ray.Document, not str; tag_many takes texts", lambda: tagger.tag_documents(["Pax6"])),
    ):
        with pytest.raises(TypeError, match=told):
            call()


def test_a_pickled_tagger_is_loaded_again():
    text = "Pax6 in the mouse."
    tagger = Tagger.load("craft-iob", Settings(notify="https://example.org/secret", min_score=0.5), threads=1)
    pickled = pickle.dumps(tagger)
    again = pickle.loads(pickled)
    assert again.tag(text) == tagger.tag(text) != []
    assert pickle.dumps(tagger) == pickle.dumps(again) == pickled  # whatever it has tagged
    assert pickle.dumps(Tagger.load("craft-iob", Settings(min_score=0.6), threads=1)) != pickled
    assert b"secret" not in pickled
    with pytest.raises(TypeError, match=r"made by Tagger\.load"):
        pickle.dumps(Tagger(load_checkpoint("craft-iob")))


def test_the_engine_is_that_of_the_settings():
    settings = Settings(engine="torch", precision="int8", concepts=False)
    with pytest.raises(SettingsError, match=r"the engine torch computes in fp32, .*, not in int8"):
        Tagger.load("craft-iob", settings)
    with pytest.raises(SettingsError, match="unknown engine 'tensorflow'"):
        Tagger.load("craft-iob", Settings(engine="tensorflow"))
    tagger = Tagger.load("craft-iob", settings.model_copy(update={"precision": "fp32"}))
    assert [entity.mention for entity in tagger.tag("Pax6 in the mouse.")] == ["Pax6", "mouse"]
