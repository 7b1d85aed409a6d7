"""What goes into an exporter (a document with its entities) and what comes out (its bytes)."""

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from craft_ray.core.schema import Entity, Section


@dataclass(frozen=True, slots=True)
class Record:
    """One annotated document. Entities are sorted by start, end and label.

    text: None if it was not kept, or the format does not need it
    """

    doc_id: str
    text: str | None
    sections: tuple[Section, ...] = ()
    title: str | None = None
    year: int | None = None
    journal: str | None = None
    entities: tuple[Entity, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A document in a format.

    entities: number of its entities that were written
    altered:  whether characters that the format cannot hold were replaced, each by one character
    """

    content: bytes
    entities: int
    altered: bool = False


@dataclass(frozen=True, slots=True)
class Collection:
    """The part that an exporter writes.

    name:   without a suffix
    source: program and version
    date:   ISO 8601
    labels: that may occur
    excel_safe: whether no value may look like a formula to a spreadsheet
    """

    name: str
    source: str
    date: str
    labels: tuple[str, ...] = ()
    excel_safe: bool = False


class Unrepresentable(Exception):
    """The format cannot hold a document. The message is the reason, which is counted, so it names no document."""


class Exporter(ABC):
    """Writes one part: its file is the concatenation of `begin`, `add` for each document, and `end`."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection

    def begin(self) -> bytes:
        return b""

    @abstractmethod
    def add(self, record: Record) -> Written:
        """Raises Unrepresentable, after which other documents can be added."""

    def end(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    make:       creates the exporter of one part
    suffix:     of the files
    needs_text: false if the files have no texts
    card:       given the labels, makes the README.md beside the files
    """

    make: Callable[[Collection], Exporter]
    suffix: str
    needs_text: bool = True
    card: Callable[[Sequence[str]], str] | None = None


def passages(record: Record) -> list[Section]:
    """The sections of a document, and any text between them as sections named `text`."""
    text = record.text or ""
    found: list[Section] = []
    at = 0
    for section in (*record.sections, Section("", len(text), len(text))):
        if text[at : section.start].strip():
            found.append(Section("text", at, section.start))
        if section.end > section.start:
            found.append(section)
        at = max(at, section.end)
    return found


def by_passage(record: Record, parts: Sequence[Section]) -> list[list[Entity]]:
    """The entities that begin in each passage."""
    starts = [part.start for part in parts]
    found: list[list[Entity]] = [[] for _ in parts]
    for entity in record.entities:
        found[max(0, bisect_right(starts, entity.start) - 1)].append(entity)
    return found


LINE_BREAKS = re.compile("[\\n\\r\\x0b\\x0c\\x1c-\\x1e\\x85\\u2028\\u2029]")
"""All line ends of `str.splitlines`, since tools differ in which ones they recognize."""

TABS_AND_BREAKS = re.compile("[\\t\\n\\r\\x0b\\x0c\\x1c-\\x1e\\x85\\u2028\\u2029]")

_NOT_NAME = re.compile(r"[^\w.+-]+")


def plain_label(label: str) -> str:
    """A label with characters other than letters, digits, `_`, `.`, `+` and `-` replaced."""
    return _NOT_NAME.sub("_", label)
