"""One text at a time."""

import pickle

import pytest

from craft_ray.annotation.tagger import Entities, Tagger
from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import Entity
from craft_ray.core.settings import Settings
from craft_ray.model.loading import SHIPPED, load_checkpoint
from tests.support.ontologies import OBO, no_lexicon_ships, obo_file  # noqa: F401  # a fixture


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


def test_rescoring_of_the_model():
    text = "Pax6 is expressed in the mouse eye. " + "The Zfqx of each neuron was fixed by Wexl. " * 2
    by_default = Tagger.load().tag(text)
    every = Tagger.load(settings=Settings(min_score=0)).tag(text)
    lowest = load_checkpoint().rescoring["thresholds"]
    assert list(by_default) == [e for e in every if e.score >= lowest[e.label]]
    assert sum(by_default.left_out.values()) == len(every) - len(by_default)
    known = {e.mention: e.score for e in every}
    assert known["Pax6"] > 0.9
    assert known["mouse"] > 0.9


def test_less_likely_mentions_are_found_for_rescoring_alone():
    text = "The filament was seen. The granules were seen at the front. The complex and the patients were examined."
    plain = load_checkpoint()
    more = plain.with_candidates()
    assert set(plain.rescoring["candidate_odds"]) <= set(plain.tags.names)
    assert more.fingerprint != plain.fingerprint
    likely, all_found = (spans(Tagger(one, "fp32").tag(text)) for one in (plain, more))
    assert likely < all_found
    every, alone = (Settings(precision="fp32", **given) for given in ({"min_score": 0}, {"concepts": False}))
    assert spans(Tagger.load(settings=every).tag(text)) == all_found
    assert spans(Tagger.load(settings=alone).tag(text)) == likely


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
