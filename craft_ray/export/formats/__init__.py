"""From a document with its entities to the bytes of a format: one exporter a file. A new one is a file and a line here.

Exporters know no storage and no tables. Offsets count Unicode code points of the document's text in all of them, as in
the tables: neither bytes nor UTF-16 units, so that a character outside the basic plane counts one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from craft_ray.core.errors import SettingsError
from craft_ray.export.formats.bioc_json import BiocJson
from craft_ray.export.formats.bioc_xml import BiocXml
from craft_ray.export.formats.brat import Brat
from craft_ray.export.formats.conll import Conll
from craft_ray.export.formats.csv import Csv
from craft_ray.export.formats.jsonl import Jsonl
from craft_ray.export.formats.pubtator import PubTator
from craft_ray.export.formats.record import Collection, Exporter


@dataclass(frozen=True, slots=True)
class Format:
    """One format: what writes a shard of it, how its files are named, and whether it holds the texts."""

    make: Callable[[Collection], Exporter]
    suffix: str
    needs_text: bool = True


EXPORTERS = {
    "bioc-xml": Format(BiocXml, ".xml"),
    "bioc-json": Format(BiocJson, ".json"),
    "pubtator": Format(PubTator, ".pubtator"),
    "brat": Format(Brat, ".tar"),
    "conll": Format(Conll, ".conll"),
    "jsonl": Format(Jsonl, ".jsonl"),
    "csv": Format(Csv, ".csv", needs_text=False),
}


def format_named(name: str) -> Format:
    """A format.

    Raises SettingsError if there is none of that name.
    """
    if name not in EXPORTERS:
        raise SettingsError(f"cannot export to {name}: choose {', '.join(EXPORTERS)}")
    return EXPORTERS[name]
