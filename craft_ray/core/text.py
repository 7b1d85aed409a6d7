"""Untrusted text, made safe for terminals."""

import re

_UNSAFE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def safe(text: str) -> str:
    """Replace control and direction characters, except line breaks and tabs, one for one."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    """Replace control and direction characters, line breaks and tabs, one for one."""
    return safe(text).replace("\n", "\N{REPLACEMENT CHARACTER}").replace("\t", "\N{REPLACEMENT CHARACTER}")
