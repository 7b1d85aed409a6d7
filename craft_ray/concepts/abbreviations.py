"""Abbreviations that a text defines: `retinal ganglion cell (RGC)`.

After Schwartz and Hearst 2003, "A simple algorithm for identifying abbreviation definitions in biomedical text",
implemented from the description in the paper.
"""

import re

MAX_LENGTH = 10
"""Characters of an abbreviation."""

_PARENTHESIS = re.compile(r"\(([^()\[\]\n;,]{2,10})[),;]")
_LONG_PARENTHESIS = re.compile(r" \(([^()\[\]\n;,]{6,80})[),;]")
_WORD_BEFORE = re.compile(r"[\w+-]{2,10}\Z")
_SENTENCE_END = re.compile(r"[.!?;:]\s|[()\[\]\n]")


def definitions(text: str) -> dict[str, str]:
    """Return each abbreviation that a text defines with its long form, by its first definition.

    >>> definitions("Death of retinal ganglion cells (RGCs) and of cats (Felis catus).")
    {'RGCs': 'retinal ganglion cells', 'RGC': 'retinal ganglion cell'}
    """
    found: dict[str, str] = {}
    for match in _PARENTHESIS.finditer(text):
        short = match.group(1).strip()
        if not _may_be_short(short):
            continue
        before = text[max(0, match.start() - 200) : match.start()].rstrip()
        if ends := list(_SENTENCE_END.finditer(before)):
            before = before[ends[-1].end() :]
        words = before.split()
        within = " ".join(words[-min(len(short) + 5, len(short) * 2) :])
        if long := _long_form(short, within):
            found.setdefault(short, long)
            if short.endswith("s") and long.endswith("s"):
                found.setdefault(short[:-1], long[:-1])
    for match in _LONG_PARENTHESIS.finditer(text):
        word = _WORD_BEFORE.search(text, max(0, match.start() - MAX_LENGTH), match.start())
        short, long = word.group() if word else "", match.group(1)
        if _may_be_short(short) and _long_form(short, long) == long:
            found.setdefault(short, long)
    return found


def _may_be_short(text: str) -> bool:
    has_letter = any(c.isalpha() for c in text)
    return 2 <= len(text) <= MAX_LENGTH and len(text.split()) <= 2 and text[0].isalnum() and has_letter


def _long_form(short: str, before: str) -> str | None:
    """Return the shortest end of `before` that has the letters of `short` in order, the first one at a word's start."""
    lower = before.lower() if before.isascii() else "".join(c if len(c.lower()) > 1 else c.lower() for c in before)
    start = len(before)
    for index in range(len(short) - 1, -1, -1):
        letter = short[index].lower()
        if not letter.isalnum():
            continue
        start = lower.rfind(letter, 0, start)
        while index == 0 and start > 0 and before[start - 1].isalnum():
            start = lower.rfind(letter, 0, start)
        if start < 0:
            return None
    long = before[start:]
    return long if len(long) > len(short) and short not in long.split() else None
