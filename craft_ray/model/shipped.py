"""The models that ship with the package, by name. One more is a folder and a line."""

from pathlib import Path

from craft_ray.core.settings import EMBEDDED

_PACKAGE = Path(__file__).parent.parent

SHIPPED = {
    "craft": _PACKAGE / "models" / "craft",
    "craft-iob": _PACKAGE / "models" / "craft-iob",
}
"""Folder of each model that `--model NAME` stands for."""

DEFAULT = "craft"
"""The model that is used where none is named."""

EMBEDDED_FOLDER = SHIPPED[DEFAULT]


def shipped_folder(name: str) -> Path | None:
    """The folder of a model that ships, by its name or as the default; None for another name."""
    return SHIPPED.get(DEFAULT if name == EMBEDDED else name)
