"""Untrusted text, made safe for terminals and spreadsheets."""

import re

_UNSAFE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def safe(text: str) -> str:
    """Replace control and direction characters, except line breaks and tabs, one for one."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    """Replace control and direction characters, line breaks and tabs, one for one."""
    return safe(text).replace("\n", "\N{REPLACEMENT CHARACTER}").replace("\t", "\N{REPLACEMENT CHARACTER}")


FORMULA = "^[=+\\-@\t\r]"
"""Pattern of texts that a spreadsheet takes for a formula."""


def without_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet takes for a formula."""
    return f"'{text}" if re.match(FORMULA, text) else text
