"""Assemble a document's text and its sections from passages."""

import re

from craft_ray.core.schema import Section

SEPARATOR = "\n"

MAX_SECTION_NAME = 1000
"""Characters. Every entity row repeats the name of its section."""

MAX_GAP = 1001
"""Blanks that may be inserted between two passages to reproduce a format's own offsets."""

_XML_SPACE = re.compile(r"[ \t\r\n]+")


def normalize_space(text: str) -> str:
    """Replace each run of XML white space by a space, as XPath does. No-break and thin spaces are kept."""
    if "  " in text or "\n" in text or "\t" in text or "\r" in text:  # most texts have none, and the pattern is slow
        text = _XML_SPACE.sub(" ", text)
    return text.strip(" ")


class TextBuilder:
    """Joins named passages. Consecutive passages of one name become one section."""

    def __init__(self, separator: str = SEPARATOR) -> None:
        self._separator = separator
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[Section] = []

    def add(self, name: str, passage: str, offset: int | None = None, left_out: int = 0) -> None:
        """Append a passage after the separator; an empty one is ignored.

        offset:   where the passage starts according to its source. Blanks are inserted up to there if at most MAX_GAP
                  and `left_out` are needed. Any other offset is ignored, since the source counts in another way.
        left_out: code points of the source since the last passage that are not read

        A passage that continues the word before it, or follows what is left out, starts a new section: no mention spans
        both.
        """
        if not passage:
            return
        separator = self._separator if self._parts else ""
        if offset is not None and 0 <= (gap := offset - self._length) <= MAX_GAP + left_out:
            separator = separator.ljust(gap) if gap else ""
        name = name[:MAX_SECTION_NAME]
        touches = not separator and bool(self._parts) and not (self._parts[-1][-1].isspace() or passage[0].isspace())
        start = self._length + len(separator)
        self._parts += [separator, passage]
        self._length = start + len(passage)
        if self._sections and self._sections[-1].name == name and not (touches or left_out):
            start = self._sections.pop().start
        self._sections.append(Section(name, start, self._length))

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def sections(self) -> tuple[Section, ...]:
        return tuple(self._sections)
