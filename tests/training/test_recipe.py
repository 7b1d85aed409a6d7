"""Recipe files."""

from pathlib import Path

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import DEFAULT, SHIPPED
from craft_ray.training.recipe import Recipe, read_training_file


def test_variables_and_relative_paths(tmp_path: Path, monkeypatch):
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
        ("recipe: {epochs: 0}", "recipe.epochs: must be greater than 0"),
        ("recipe: {swap: {Cell: 2}}", "recipe.swap: .* the share of Cell is not from 0 to 1"),
        ("train: ${NOT_SET_ANYWHERE}/craft", "not set"),
        ("train: [", "is not YAML"),
        ("- 1", "holds no settings"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content, message):
    file = tmp_path / "recipe.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=message) as raised:
        read_training_file(file)
    assert "\n" not in str(raised.value)
    with pytest.raises(SettingsError, match="cannot read"):
        read_training_file(tmp_path / "none.yaml")


def test_options_override_the_file(tmp_path: Path):
    file = tmp_path / "recipe.yaml"
    file.write_text("train: one\nbase: two\nrecipe: {epochs: 2, seed: 7}\n")
    training = read_training_file(file).with_options({"train": "other", "seed": 8})
    assert (training.require("train"), training.require("base")) == ("other", "two")
    assert training.recipe == Recipe(epochs=2, seed=8)
    with pytest.raises(SettingsError, match="a training needs --dev"):
        training.require("dev")
    with pytest.raises(SettingsError, match="greater than 0"):
        training.with_options({"epochs": 0})
    with pytest.raises(SettingsError, match="swap: must be a valid number"):
        training.with_options({"swap": {"Cell": ""}})


def test_default_model_recipe(monkeypatch):
    monkeypatch.setenv("CRAFT_RAY_DATA", "/data")
    file = read_training_file(SHIPPED[DEFAULT] / "recipe.yaml")
    assert (file.require("base"), file.require("train")) == ("craft", "/data/craft")
    train, dev = (set(Path(str(ids)).read_text().split()) for ids in (file.train_ids, file.dev_ids))
    assert (len(train), len(dev), len(train | dev)) == (58, 9, 67)
    assert (file.recipe.disjoint, file.recipe.base_share) == (True, 0.25)


def test_recipe_of_craft_iob(monkeypatch):
    monkeypatch.setenv("CRAFT_RAY_DATA", "/data")
    file = read_training_file(SHIPPED["craft-iob"] / "recipe.yaml")
    assert (file.require("base"), file.require("train")) == ("craft-iob", "/data/craft-iob/train.tsv")
    assert (file.recipe.base_share, file.recipe.outside_bias) == (0.55, 2.0)
