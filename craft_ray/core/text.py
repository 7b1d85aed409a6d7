"""Text from outside that is shown to people."""

import re

_UNSAFE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def safe(text: str) -> str:
    """A text without what a terminal would obey: each control and direction character is replaced by one character.

    Line breaks and tabs stay.
    """
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    """A text without what a terminal would obey, and without line breaks and tabs: a file name, an id, a message."""
    return safe(text).replace("\n", "\N{REPLACEMENT CHARACTER}").replace("\t", "\N{REPLACEMENT CHARACTER}")
