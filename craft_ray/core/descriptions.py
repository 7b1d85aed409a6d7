"""Meaning and looks of a model's labels, where they are not CRAFT's six: part of a checkpoint."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import LABELS, is_craft, label_of
from craft_ray.core.validation import nearest, read_yaml, validated

KEY = "label_descriptions"
"""The key of a checkpoint's config.json, and of the model in a run's record."""


class LabelDescription(BaseModel):
    """A label's meaning, its colour and letters in reports, and the ontologies whose concepts its mentions mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meaning: str = Field(default="", max_length=200, description="what it is, in a few words")
    colour: str | None = Field(default=None, pattern="^#[0-9a-fA-F]{6}$", description="ground of its mentions")
    letters: str | None = Field(default=None, pattern="^[A-Za-z0-9]{1,2}$", description="mark behind its mentions")
    prefixes: tuple[str, ...] = Field(default=(), description="prefixes of the concepts that its mentions mean")

    @property
    def style(self) -> str | None:
        """Ink and ground as `core/highlight.py` has them; the ink is what can be read on the ground."""
        if self.colour is None:
            return None
        return f"{'black' if _luminance(self.colour) > 0.179 else 'white'} on {self.colour.lower()}"


def _luminance(colour: str) -> float:
    """The relative luminance of a colour, by WCAG 2 (w3.org/TR/WCAG22); black and white are as far from 0.179."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def read_descriptions(file: str | Path) -> dict[str, LabelDescription]:
    """Read a YAML file of labels, each with what is known of it.

    Raises SettingsError if it cannot be read, or has a value that does not fit.
    """
    values, places = read_yaml(file)
    found = {}
    for label, value in values.items():
        if not isinstance(value, dict):
            raise SettingsError(f"{places[(label,)]}: {label} has no values, such as `meaning`")
        own = {key[1:]: place for key, place in places.items() if key[0] == label}
        found[label] = validated(LabelDescription, value, own)
    return found


def check_labels(descriptions: Mapping[str, LabelDescription], labels: Iterable[str]) -> None:
    """Raise SettingsError if a label is described that is none of some."""
    known = set(labels)
    for label in descriptions:
        if label not in known:
            raise SettingsError(f"{label} is described, and is no label of the corpus{nearest(label, known)}")


def as_json(descriptions: Mapping[str, LabelDescription]) -> dict[str, Any]:
    """Descriptions as config.json and records hold them."""
    return {label: one.model_dump(exclude_defaults=True, mode="json") for label, one in descriptions.items()}


def descriptions_in(model: Mapping[str, Any], labels: Iterable[str]) -> dict[str, LabelDescription]:
    """Meaning and looks of an output's labels.

    model: as a run's record or its summary has it; of its labels an output may lack some

    Raises SettingsError as `descriptions_of` does.
    """
    return descriptions_of(labels, model.get(KEY), labels_in(model))


def labels_in(model: Mapping[str, Any]) -> list[str]:
    """The labels of a model as a run's record or its summary has it; none if it does not tell."""
    tags: Iterable[str] = (model.get("labels") or {}).values()
    return list(dict.fromkeys(label_of(tag) for tag in tags if tag != "O"))


def descriptions_of(
    labels: Iterable[str], described: Mapping[str, Any] | None = None, of_model: Iterable[str] = ()
) -> dict[str, LabelDescription]:
    """Meaning and looks of labels: as a checkpoint or a record has them, and those of CRAFT's own.

    described: as `as_json` gives it
    of_model:  all labels of the model, where these are some of them

    Raises SettingsError if that has a value that does not fit.
    """
    names = list(labels)
    craft = {label.name: LabelDescription(meaning=label.meaning, prefixes=(label.ontology,)) for label in LABELS}
    known = {name: craft[name] for name in names if name in craft} if is_craft(list(of_model) or names) else {}
    given = described or {}
    return known | {name: validated(LabelDescription, given[name]) for name in names if name in given}
