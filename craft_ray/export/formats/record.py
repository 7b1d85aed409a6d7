"""Input and output of an exporter: a document with its entities, and its bytes in a format. Knows no storage."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from craft_ray.core.schema import Entity, Section


@dataclass(frozen=True, slots=True)
class Record:
    """One annotated document. Entities are in order of start, end and label; offsets in code points of `text`.

    text: None where the tables keep no texts, or the format wants none
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
    """A document's bytes.

    entities: how many of its entities the bytes hold
    altered:  whether characters that the format cannot hold were replaced, each by one
    """

    content: bytes
    entities: int
    altered: bool = False


@dataclass(frozen=True, slots=True)
class Collection:
    """Facts about the part that an exporter writes.

    name:   of the shard, without a suffix
    source: what made it
    date:   as ISO 8601 has it
    labels: that may occur
    """

    name: str
    source: str
    date: str
    labels: tuple[str, ...] = ()


class Unrepresentable(Exception):
    """A document that a format cannot hold; the message says why and is the same for all such documents."""


class Exporter(Protocol):
    """One shard in the making: what `begin`, `add` for each document, and `end` give is the file."""

    def begin(self) -> bytes:
        """The bytes before the documents."""

    def add(self, record: Record) -> Written:
        """One document.

        Raises Unrepresentable, after which the shard can go on.
        """

    def end(self) -> bytes:
        """The bytes after the documents."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    make:       gives an exporter for one part
    suffix:     of its files
    needs_text: false if it holds no texts of documents
    """

    make: Callable[[Collection], Exporter]
    suffix: str
    needs_text: bool = True


def passages(record: Record) -> list[Section]:
    """The parts of a document's text: its sections, and what lies between them unless it is blank, as `text`."""
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
    """The entities of each passage, in which they begin."""
    starts = [part.start for part in parts]
    found: list[list[Entity]] = [[] for _ in parts]
    for entity in record.entities:
        found[max(0, bisect_right(starts, entity.start) - 1)].append(entity)
    return found


LINE_BREAKS = re.compile("[\\n\\r\\x0b\\x0c\\x1c-\\x1e\\x85\\u2028\\u2029]")
"""Characters that end a line in one tool or another: all that `str.splitlines` knows."""

TABS_AND_BREAKS = re.compile("[\\t\\n\\r\\x0b\\x0c\\x1c-\\x1e\\x85\\u2028\\u2029]")

_NO_NAME = re.compile(r"[^\w.+-]+")


def plain_label(label: str) -> str:
    """A label as line formats can hold it: letters, digits, `_`, `.`, `+` and `-`."""
    return _NO_NAME.sub("_", label)
