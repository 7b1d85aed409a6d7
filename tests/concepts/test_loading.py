"""Which labels are kept to mentions that fit: as the settings say, else as the model says, if the lexicon can tell."""

import pytest

from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.loading import grounder_of
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from tests.support.ontologies import OBO, builder

LABELS = ("Cell", "Protein", "Taxon", "Virus")


def lexicon(text: str = OBO) -> Lexicon:
    return builder(text).lexicon()


def only(settings: Settings, text: str = OBO) -> frozenset[str]:
    grounder = grounder_of(settings, lexicon(text), LABELS, ("Cell", "Taxon"))
    assert grounder is not None
    return grounder.only


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, {"Cell", "Taxon"}), ((), set()), (("none",), set()), (("GGP",), {"Protein"}), (("Cell",), {"Cell"})],
)
def test_the_settings_go_before_the_model(given: tuple[str, ...] | None, kept: set[str]) -> None:
    assert only(Settings(grounded_only=given)) == kept


def test_the_models_own_choice_counts_only_where_the_lexicon_has_names() -> None:
    no_taxa = OBO.split("[Term]\nid: NCBITaxon:10090")[0]
    assert only(Settings(), no_taxa) == {"Cell"}


@pytest.mark.parametrize(
    ("label", "sentence"),
    [("Virus", "grounded_only Virus: no names are known"), ("Cel", "the model has no such label; did you mean Cell?")],
)
def test_a_label_whose_mentions_would_all_go_is_a_bad_setting(label: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        only(Settings(grounded_only=(label,)))


def test_without_a_lexicon_nothing_is_left_out_and_no_label_can_be_named() -> None:
    assert grounder_of(Settings(), None, LABELS, ("Cell",)) is None
    with pytest.raises(SettingsError, match="no names are known"):
        grounder_of(Settings(grounded_only=("Cell",)), None, LABELS)
