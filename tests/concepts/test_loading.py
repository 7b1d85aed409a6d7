"""Which mentions a grounder leaves out, by settings and model."""

import pytest

from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.loading import make_grounder
from craft_ray.concepts.rescoring import FEATURES
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from tests.support.ontologies import OBO, builder

LABELS = ("Cell", "Protein", "Taxon", "Virus")
RESCORING = {
    "weights": dict.fromkeys(FEATURES, 0.0),
    "intercept": 0.0,
    "thresholds": {"Cell": 0.4, "Virus": 0.4},
    "candidate_odds": {},
}


def lexicon(text: str = OBO) -> Lexicon:
    return builder(text).lexicon()


def grounder(settings: Settings, text: str = OBO) -> Grounder:
    return make_grounder(settings, lexicon(text), LABELS, RESCORING)


@pytest.mark.parametrize(("min_score", "thresholds"), [(None, {"Cell": 0.4}), (0, {}), (0.9, {})])
def test_settings_override_the_model(min_score: float | None, thresholds: dict[str, float]):
    """No names are known for the label Virus, which keeps the network's scores."""
    assert grounder(Settings(min_score=min_score)).thresholds == thresholds


def test_model_without_rescoring():
    made = make_grounder(Settings(), lexicon(), LABELS)
    assert (made.thresholds, made.grounded_only) == ({}, frozenset())


@pytest.mark.parametrize(("given", "only"), [((), set()), (("GGP",), {"Protein"}), (("Cell",), {"Cell"})])
def test_grounded_only(given: tuple[str, ...], only: set[str]):
    assert grounder(Settings(grounded_only=given)).grounded_only == only


def test_known_labels():
    without_taxa = OBO.split("[Term]\nid: NCBITaxon:10090")[0]
    assert {"Cell", "Taxon"} <= grounder(Settings()).known_labels
    assert "Cell" in grounder(Settings(), without_taxa).known_labels
    assert "Taxon" not in grounder(Settings(), without_taxa).known_labels


@pytest.mark.parametrize(
    ("label", "sentence"),
    [("Virus", "grounded_only Virus: no names are known"), ("Cel", "the model has no such label; did you mean Cell?")],
)
def test_grounded_only_needs_a_known_label(label: str, sentence: str):
    with pytest.raises(SettingsError, match=sentence):
        grounder(Settings(grounded_only=(label,)))


def test_settings_that_need_a_lexicon():
    assert make_grounder(Settings(), None, LABELS, RESCORING) is None
    with pytest.raises(SettingsError, match="no names are known"):
        make_grounder(Settings(grounded_only=("Cell",)), None, LABELS)
    with pytest.raises(SettingsError, match="min_score: mentions are scored by the lexicon"):
        make_grounder(Settings(min_score=0.5), None, LABELS)


def test_invalid_rescoring_of_a_model():
    with pytest.raises(SettingsError, match=r"config.json: rescoring needs weights"):
        make_grounder(Settings(), lexicon(), LABELS, {"thresholds": {}})
