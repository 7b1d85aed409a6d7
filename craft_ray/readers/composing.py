"""Putting a document's passages together into one text with sections."""

import re

from craft_ray.core.schema import Section

SEPARATOR = "\n"
LONGEST_NAME = 1000
"""Code points of a section's name; each mention carries it."""

_XML_SPACE = re.compile(r"[ \t\r\n]+")


def squeeze(text: str) -> str:
    """XML text with each run of XML white space as one space; other spaces (no-break, thin) are kept."""
    return _XML_SPACE.sub(" ", text).strip(" ")


class Composer:
    """Collects named passages; passages that follow each other under one name become one section."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[Section] = []

    def add(self, name: str, passage: str) -> None:
        """Append a passage on a line of its own; an empty one leaves no trace."""
        if not passage:
            return
        if self._parts:
            self._parts.append(SEPARATOR)
            self._length += len(SEPARATOR)
        name = name[:LONGEST_NAME]
        start, self._length = self._length, self._length + len(passage)
        self._parts.append(passage)
        if self._sections and self._sections[-1].name == name:
            start = self._sections.pop().start
        self._sections.append(Section(name, start, self._length))

    def pad_to(self, offset: int) -> None:
        """Fill up with blanks so that the next passage starts at `offset`, where that lies ahead and near.

        For formats that state where a passage stands in the source; a jump of more than a thousand is taken as another
        way of counting, and the passage simply follows.
        """
        gap = offset - self._length - (len(SEPARATOR) if self._parts else 0)
        if 0 < gap <= 1000:
            self._parts.append(" " * gap)
            self._length += gap

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._parts)

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections, in order."""
        return tuple(self._sections)
