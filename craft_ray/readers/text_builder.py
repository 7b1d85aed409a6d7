"""Putting a document's passages together into one text with sections."""

import re

from craft_ray.core.schema import Section

SEPARATOR = "\n"
LONGEST_NAME = 1000
"""Code points of a section's name; each mention carries it."""

LONGEST_GAP = 1001
"""Blanks between two passages, at most, that a format's offsets make."""

_XML_SPACE = re.compile(r"[ \t\r\n]+")

_UNEVEN = ("  ", "\n", "\t", "\r")
"""Texts without any of these have single spaces alone, as most do. The pattern would replace each by itself."""


def normalize_space(text: str) -> str:
    """XML text with each run of XML white space as one space; other spaces (no-break, thin) are kept."""
    if any(white in text for white in _UNEVEN):
        text = _XML_SPACE.sub(" ", text)
    return text.strip(" ")


class TextBuilder:
    """Collects named passages; passages that follow each other under one name become one section.

    Those that touch, letter to letter, stay two sections, so that no word grows across.
    """

    def __init__(self, separator: str = SEPARATOR) -> None:
        self._separator = separator
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[Section] = []

    def add(self, name: str, passage: str, offset: int | None = None) -> None:
        """Append a passage on a line of its own; an empty one leaves no trace.

        offset: where the passage starts in its source, for formats that state it. The passage starts there, which may
                be right behind the one before, if that lies ahead by at most LONGEST_GAP. Other offsets are taken as
                another way of counting.
        """
        if not passage:
            return
        separator = self._separator if self._parts else ""
        if offset is not None and 0 <= (gap := offset - self._length) <= LONGEST_GAP:
            separator = separator.ljust(gap) if gap else ""
        name = name[:LONGEST_NAME]
        touches = not separator and bool(self._parts) and not (self._parts[-1][-1].isspace() or passage[0].isspace())
        start = self._length + len(separator)
        self._parts += [separator, passage]
        self._length = start + len(passage)
        if self._sections and self._sections[-1].name == name and not touches:
            start = self._sections.pop().start
        self._sections.append(Section(name, start, self._length))

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._parts)

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections, in order."""
        return tuple(self._sections)
