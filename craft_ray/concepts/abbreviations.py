"""Abbreviations that a text defines itself: `retinal ganglion cell (RGC)`; pure.

After Schwartz and Hearst 2003, "A simple algorithm for identifying abbreviation definitions in biomedical text",
written from the description in the paper.
"""

import re

_PARENTHESIS = re.compile(r"\(([^()\[\]\n;,]{2,10})[),;]")
_LONG_PARENTHESIS = re.compile(r" \(([^()\[\]\n;,]{6,80})[),;]")
_WORD_BEFORE = re.compile(r"[\w+-]{2,10}\Z")
_SENTENCE_END = re.compile(r"[.!?;:]\s|[()\[\]\n]")
LONGEST = 10
"""Characters of an abbreviation."""


def definitions(text: str) -> dict[str, str]:
    """Each abbreviation that a text defines, with its long form; the first definition counts.

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
        word = _WORD_BEFORE.search(text, max(0, match.start() - LONGEST), match.start())
        short, long = word.group() if word else "", match.group(1)
        if _may_be_short(short) and _long_form(short, long) == long:
            found.setdefault(short, long)
    return found


def _may_be_short(text: str) -> bool:
    return 2 <= len(text) <= LONGEST and len(text.split()) <= 2 and text[0].isalnum() and any(c.isalpha() for c in text)


def _long_form(short: str, before: str) -> str | None:
    """The shortest end of what stands before in which the letters of the abbreviation occur in order.

    Its first letter must begin a word.
    """
    small = before.lower() if before.isascii() else "".join(c if len(c.lower()) > 1 else c.lower() for c in before)
    at = len(before)
    for place in range(len(short) - 1, -1, -1):
        letter = short[place].lower()
        if not letter.isalnum():
            continue
        at = small.rfind(letter, 0, at)
        while place == 0 and at > 0 and before[at - 1].isalnum():
            at = small.rfind(letter, 0, at)
        if at < 0:
            return None
    long = before[at:]
    return long if len(long) > len(short) and short not in long.split() else None
