"""Recipe files."""

from pathlib import Path

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import SHIPPED
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


def test_recipes_of_the_models_that_ship(monkeypatch):
    monkeypatch.setenv("CRAFT_RAY_DATA", "/data")
    craft, craft_iob = (read_training_file(SHIPPED[name] / "recipe.yaml") for name in ("craft", "craft-iob"))
    assert (craft_iob.require("base"), craft_iob.require("train")) == ("craft-iob", "/data/craft-iob/train.tsv")
    assert (craft.require("base"), craft.require("train")) == ("craft", "/data/craft")
    train, dev = (set(Path(str(ids)).read_text().split()) for ids in (craft.train_ids, craft.dev_ids))
    assert (len(train), len(dev), len(train | dev)) == (58, 9, 67)
