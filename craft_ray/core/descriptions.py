"""Descriptions of labels other than CRAFT's, which are part of a checkpoint."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import LABELS, as_iob2, is_craft, label_of
from craft_ray.core.validation import nearest, read_yaml, validated

KEY = "label_descriptions"
"""Key in the config.json of a checkpoint, and in the model of a run record."""

CRAFT_PREFIXES = {label.name: (label.ontology,) for label in LABELS}
"""Prefixes of the concepts of CRAFT's labels, in order of preference."""


class LabelDescription(BaseModel):
    """The meaning of a label, its colour and letters in reports, and the ontologies of its concepts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meaning: str = Field(default="", max_length=200, description="what it is, in a few words")
    colour: str | None = Field(default=None, pattern="^#[0-9a-fA-F]{6}$", description="background of its mentions")
    letters: str | None = Field(default=None, pattern="^[A-Za-z0-9]{1,2}$", description="mark behind its mentions")
    prefixes: tuple[str, ...] = Field(default=(), description="prefixes of the concepts that its mentions mean")

    @property
    def style(self) -> str | None:
        """Colours as in `highlight.STYLES`; the text is black or white, whichever is readable."""
        if self.colour is None:
            return None
        return f"{'black' if _luminance(self.colour) > 0.179 else 'white'} on {self.colour.lower()}"


def _luminance(colour: str) -> float:
    """Relative luminance by WCAG 2 (w3.org/TR/WCAG22). At 0.179 black and white have the same contrast."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def read_descriptions(file: str | Path) -> dict[str, LabelDescription]:
    """Read the descriptions of labels from a YAML file.

    Raises SettingsError if it cannot be read, or a value is invalid.
    """
    values, lines = read_yaml(file)
    found = {}
    for label, value in values.items():
        if not isinstance(value, dict):
            raise SettingsError(f"{lines[(label,)]}: {label} has no values, such as `meaning`")
        own = {key[1:]: line for key, line in lines.items() if key[0] == label}
        found[label] = validated(LabelDescription, value, own)
    return found


def check_labels(descriptions: Mapping[str, LabelDescription], labels: Iterable[str]) -> None:
    """Raise SettingsError if a described label is unknown."""
    known = set(labels)
    for label in descriptions:
        if label not in known:
            raise SettingsError(f"{label} is described, and is no label of the corpus{nearest(label, known)}")


def as_json(descriptions: Mapping[str, LabelDescription]) -> dict[str, Any]:
    return {label: one.model_dump(exclude_defaults=True, mode="json") for label, one in descriptions.items()}


def descriptions_in(model: Mapping[str, Any], labels: Iterable[str]) -> dict[str, LabelDescription]:
    """Return the descriptions of an output's labels by the model in its run record; like `descriptions_of`."""
    return descriptions_of(labels, model.get(KEY), labels_in(model))


def labels_in(model: Mapping[str, Any]) -> list[str]:
    """Return the labels of the model in a run record."""
    tags = as_iob2((model.get("labels") or {}).values())
    return list(dict.fromkeys(label_of(tag) for tag in tags if tag != "O"))


def descriptions_of(
    labels: Iterable[str], described: Mapping[str, Any] | None = None, of_model: Iterable[str] = ()
) -> dict[str, LabelDescription]:
    """Return the known descriptions of labels: those of a checkpoint or run record, else those of CRAFT's own.

    described: the result of `as_json`
    of_model:  all labels of the model, if `labels` are only some

    Raises SettingsError if a description is invalid.
    """
    names = list(labels)
    craft = {
        label.name: LabelDescription(meaning=label.meaning, prefixes=CRAFT_PREFIXES[label.name]) for label in LABELS
    }
    known = {name: craft[name] for name in names if name in craft} if is_craft(list(of_model) or names) else {}
    given = described or {}
    return known | {name: validated(LabelDescription, given[name]) for name in names if name in given}
