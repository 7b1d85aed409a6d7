"""Exporters: from a document with its entities to the bytes of a format. A new one is a file, and a line here.

Offsets count Unicode code points of the document's text in all formats, as in the tables. A character outside the basic
plane counts as one, unlike in bytes or UTF-16 units.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from craft_ray.core.errors import SettingsError
from craft_ray.core.validation import nearest

if TYPE_CHECKING:
    from craft_ray.export.formats.record import Format

EXPORTERS = {
    "bioc-xml": "bioc_xml",
    "bioc-json": "bioc_json",
    "pubtator": "pubtator",
    "brat": "brat",
    "conll": "conll",
    "jsonl": "jsonl",
    "csv": "csv",
}
"""Module of each format, with its `FORMAT`. Imported on demand, so that `--help` is fast."""


def format_named(name: str) -> "Format":
    """Raises SettingsError if there is no format of this name."""
    if name not in EXPORTERS:
        raise SettingsError(f"cannot export to {name}: choose {', '.join(EXPORTERS)}{nearest(name, EXPORTERS)}")
    found: Format = import_module(f"{__name__}.{EXPORTERS[name]}").FORMAT
    return found
