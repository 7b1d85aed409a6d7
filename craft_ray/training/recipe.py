"""Settings of a training: the single source of the command's options, its help, recipe files and the README's table.

Imports no torch, so that help is fast.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from craft_ray.core.errors import SettingsError
from craft_ray.core.validation import read_yaml, validated


class Recipe(BaseModel):
    """How to train. The defaults are the published CRAFT card's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(default=3e-5, gt=0, description="peak learning rate")
    batch_size: int = Field(default=8, ge=1, description="windows per step, over all workers")
    batch_tokens: int = Field(
        default=0, ge=0, description="padded tokens per step, over all workers; replaces `batch_size` if above 0"
    )
    epochs: float = Field(default=4, gt=0, description="passes over the corpus")
    warmup: float = Field(default=0.0, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay")
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="dropout of hidden states; default: the base model's"
    )
    attention_dropout: float | None = Field(
        default=None, ge=0, lt=1, description="dropout of attention weights; default: the base model's"
    )
    seed: int = Field(default=42, ge=0, description="seed of all randomness")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="number format of training; auto is bf16 if the device computes in it, else fp32"
    )
    nested: bool = Field(
        default=False,
        description="label every word piece, and each label independently: mentions may nest and begin within words",
    )
    window_pieces: int = Field(
        default=0,
        ge=0,
        description="tokens up to which consecutive sentences share a window; 0: one sentence per window",
    )
    cased: bool = Field(default=False, description="give an uncased base model a cased vocabulary")
    swap: dict[str, float] = Field(
        default={}, description="share of a label's names that is replaced by other names, differently in each epoch"
    )
    names: dict[str, list[str]] = Field(
        default={}, description="ontologies (OBO files) that supply half of a label's replacement names"
    )
    noise: float = Field(
        default=0.0, ge=0, le=1, description="share of sentences whose dashes, Greek letters or case change in an epoch"
    )
    moving_average: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="factor per step of an exponential moving average of the weights, which is the result; 0: none",
    )
    base_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the base's weights in the result; the base needs the same labels (Wortsman et al. 2022)",
    )
    split_symbols: bool = Field(
        default=False, description="let the tokenizer split words at symbols, such as the minus sign of `Pax6−/−`"
    )
    outside_bias: float = Field(
        default=0.0, description="added to the bias of the tag O after training: above 0 for fewer but surer mentions"
    )
    refine_mentions: bool = Field(
        default=False, description="when annotating, make labels consistent within a document and trim punctuation"
    )
    disjoint: bool = Field(
        default=False, description="exclude training sentences whose text occurs in the development corpus"
    )

    @field_validator("swap")
    @classmethod
    def _check_shares(cls, swap: dict[str, float]) -> dict[str, float]:
        if bad := [label for label, share in swap.items() if not 0 <= share <= 1]:
            raise ValueError(f"the share of {bad[0]} is not from 0 to 1")
        return swap


class Auxiliary(BaseModel):
    """An auxiliary corpus.

    labels: the main corpus's label that each of its own labels teaches; others stay its own
    silver: a model that adds mentions of the main corpus's other labels, as `annotate` finds them; other labels of the
            corpus are then left out
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: str
    labels: dict[str, str] = {}
    silver: str | None = None


class TrainingFile(BaseModel):
    """A recipe file: corpora, base model and recipe of a training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: str | None = Field(
        default=None, description="corpus to train on: IOB, PubTator, BioC, JSON lines, brat, or CRAFT's release"
    )
    train_ids: str | None = Field(default=None, description="articles of CRAFT to train on, one id per line")
    dev: str | None = Field(default=None, description="corpus to evaluate on after each epoch, in any of these forms")
    dev_ids: str | None = Field(default=None, description="articles of CRAFT to evaluate on, one id per line")
    dev_share: float | None = Field(
        default=None, gt=0, lt=1, description="evaluate on this share of the training corpus instead, and leave it out"
    )
    labels: str | None = Field(
        default=None, description="YAML file that describes labels: meaning, colour, letters, prefixes of concepts"
    )
    base: str | None = Field(
        default=None, description="encoder to start from: a model that ships, a folder or a Hugging Face id"
    )
    auxiliary: list[str | Auxiliary] = Field(
        default=[],
        description="more corpora to learn from; in a recipe file, `labels` maps labels to those of the main corpus",
    )
    recipe: Recipe = Field(default=Recipe(), description="how to train")

    def with_options(self, options: Mapping[str, Any]) -> "TrainingFile":
        """Override values, by the names of the file's own fields or of the recipe's.

        Raises SettingsError if a value is invalid.
        """
        recipe = {name: value for name, value in options.items() if name in Recipe.model_fields}
        own = {name: value for name, value in options.items() if name in type(self).model_fields}
        current = self.recipe.model_dump(exclude_unset=True)
        return self.model_copy(update={**own, "recipe": validated(Recipe, current | recipe)})

    def require(self, name: str) -> str:
        """The value of a field. Raises SettingsError if it has none."""
        value = getattr(self, name)
        if value is None:
            raise SettingsError(f"a training needs --{name}, or a --recipe that has it")
        return str(value)


def read_training_file(file: Path) -> TrainingFile:
    """Read a recipe file. `${NAME}` is an environment variable, and `./` the folder of the file.

    Raises SettingsError if the file cannot be read, uses a variable that is not set, or has an invalid value.
    """
    values, lines = read_yaml(file)
    return validated(TrainingFile, _expanded(values, file.resolve().parent), lines)


def _expanded(value: Any, folder: Path) -> Any:
    """A YAML value with environment variables and `./` replaced."""
    if isinstance(value, dict):
        return {key: _expanded(entry, folder) for key, entry in value.items()}
    if isinstance(value, list):
        return [_expanded(entry, folder) for entry in value]
    if not isinstance(value, str):
        return value
    text = os.path.expandvars(value)
    if "${" in text:
        raise SettingsError(f"the recipe uses an environment variable that is not set: {text}")
    return str(folder / text) if text.startswith("./") else text
