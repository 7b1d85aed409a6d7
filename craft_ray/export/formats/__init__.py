"""From a document with its entities to the bytes of a format. A new exporter is a file and a line here.

Exporters know no storage and no tables. All of them count offsets in Unicode code points of the document's text, as the
tables do: a character outside the basic plane counts one, unlike in bytes or UTF-16 units.
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
"""Each format and the file here whose `FORMAT` it is; imported when it is asked for, so that `--help` can list them."""


def format_named(name: str) -> "Format":
    """A format.

    Raises SettingsError if there is none of that name.
    """
    if name not in EXPORTERS:
        raise SettingsError(f"cannot export to {name}: choose {', '.join(EXPORTERS)}{nearest(name, EXPORTERS)}")
    found: Format = import_module(f"{__name__}.{EXPORTERS[name]}").FORMAT
    return found
