"""A training as a file."""

from pathlib import Path

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.model.shipped import DEFAULT, SHIPPED
from craft_ray.training.recipe import Recipe, read_training_file


def test_variables_and_places_beside_the_file_are_filled_in(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CORPORA", "/corpora")
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "train: ${CORPORA}/craft\ntrain_ids: ./ids.txt\nauxiliary: ['${CORPORA}/more']\nrecipe: {epochs: 2, seed: 7}\n"
    )
    read = read_training_file(file)
    assert (read.train, read.train_ids, read.auxiliary) == (
        "/corpora/craft",
        str(tmp_path / "ids.txt"),
        ["/corpora/more"],
    )
    assert read.recipe == Recipe(epochs=2, seed=7)
    assert read.base is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("recipe: {epoch: 2}", "recipe.epoch: there is no such setting .*line 1.*did you mean epochs"),
        ("recipe: {epochs: 0}", "recipe.epochs: Input should be greater than 0"),
        ("train: ${NOT_SET_ANYWHERE}/craft", "not set"),
        ("train: [", "is not YAML"),
        ("- 1", "holds no settings"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(tmp_path: Path, content, message):
    file = tmp_path / "recipe.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=message) as told:
        read_training_file(file)
    assert "\n" not in str(told.value)
    with pytest.raises(SettingsError, match="cannot read"):
        read_training_file(tmp_path / "none.yaml")


def test_options_go_before_the_file_and_the_file_before_defaults(tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_text("train: one\nbase: two\nrecipe: {epochs: 2, seed: 7}\n")
    wanted = read_training_file(file).with_options({"train": "other", "seed": 8})
    assert (wanted.given("train"), wanted.given("base")) == ("other", "two")
    assert wanted.recipe == Recipe(epochs=2, seed=8)
    with pytest.raises(SettingsError, match="a training needs --dev"):
        wanted.given("dev")
    with pytest.raises(SettingsError, match="greater than 0"):
        wanted.with_options({"epochs": 0})


def test_the_recipe_of_the_default_model_keeps_its_articles_apart(monkeypatch):
    monkeypatch.setenv("CRAFT_RAY_DATA", "/data")
    file = read_training_file(SHIPPED[DEFAULT] / "recipe.yaml")
    assert (file.given("base"), file.given("train")) == ("craft-iob", "/data/craft")
    learnt, kept_apart = (set(Path(str(ids)).read_text().split()) for ids in (file.train_ids, file.dev_ids))
    assert (len(learnt), len(kept_apart), len(learnt | kept_apart)) == (58, 9, 67)
    assert file.recipe.disjoint
