"""What a document says about the names in it: abbreviations it defines, and longer forms of short names."""

import re
from collections import Counter
from functools import cached_property

from craft_ray.concepts.forms import GREEK

MAX_LENGTH = 10
"""Characters of an abbreviation."""

MAX_LONGER_NAMES = 20
MAX_WORD = 40
"""Characters."""

HYPHENS = "-‐‑–"
NAME_GOES_ON = re.compile(rf"[{HYPHENS}](?:\d|{'|'.join(GREEK)})")

_PARENTHESIS = re.compile(r"\(([^()\[\]\n;,]{2,10})[),;]")
_LONG_PARENTHESIS = re.compile(r" \(([^()\[\]\n;,]{6,80})[),;]")
_WORD_BEFORE = re.compile(r"[\w+-]{2,10}\Z")
_SENTENCE_END = re.compile(r"[.!?;:]\s|[()\[\]\n]")
_LAST_WORD = re.compile(r"\b([\w-]+)[\s-]+\Z")


class Context:
    """A document's text. Everything is computed on first use."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    @cached_property
    def defined(self) -> dict[str, str]:
        """Long form of each abbreviation that the text defines."""
        return definitions(self.text)

    def define(self, short: str, long: str) -> None:
        """Add an abbreviation that stands behind its long form, even if its letters are in another order."""
        letters = {letter for letter in short.casefold() if letter.isalpha()}
        is_likely = _may_be_short(short) and len(short) < len(long) and letters <= set(long.casefold())
        if is_likely and long.endswith(self.defined.get(short, "")):
            self.defined[short] = long

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {short.casefold(): long for short, long in self.defined.items()}

    def long_form(self, word: str) -> str | None:
        """Long form of a word that the document defines as an abbreviation."""
        if self.defined:
            for short in (word, word.removesuffix("s")):
                if long := self.defined.get(short) or (self._folded.get(short.casefold()) if len(short) > 2 else None):
                    return long
        return None

    def expanded(self, words: str) -> str:
        """Some words, with the long form instead of each abbreviation that the document defines."""
        folded = words.casefold()
        if not any(short in folded for short in self._folded):
            return words
        return re.sub(r"[\w+-]+", lambda match: self.long_form(match.group()) or match.group(), words)

    @cached_property
    def _short_forms(self) -> dict[str, str]:
        return {long.casefold(): short for short, long in reversed(self.defined.items())}

    def short_form(self, words: str) -> str | None:
        """The abbreviation that the document defines for some words."""
        return self._short_forms.get(words.casefold()) if self.defined else None

    def is_cut(self, symbol: str) -> bool:
        """True if each occurrence of a symbol is the beginning of a hyphenated name: `NF` in `NF-kappaB`."""
        if not any(f"{symbol}{hyphen}" in self.text for hyphen in HYPHENS):
            return False
        ends = [match.end() for match in re.finditer(rf"(?<!\w){re.escape(symbol)}(?!\w)", self.text)]
        return bool(ends) and all(NAME_GOES_ON.match(self.text, end) for end in ends)

    @cached_property
    def capitalised(self) -> dict[str, list[str]]:
        """Capitalised words by their first letter, most frequent first."""
        counted = Counter(re.findall(r"\b[A-Z][a-z]{2,}\b", self.text))
        words: dict[str, list[str]] = {}
        for word, _ in counted.most_common():
            words.setdefault(word[0], []).append(word)
        return words

    def ending_with(self, name: str) -> list[str]:
        """Longer names in the text that end with a name, most frequent first: `replication fork` for `fork`."""
        before = Counter[str]()
        text = self.text
        start = text.find(name, 1)
        while start > 0:
            if (text[start - 1].isspace() or text[start - 1] == "-") and (
                match := _LAST_WORD.search(text, max(0, start - MAX_WORD), start)
            ):
                before[match.group(1).casefold()] += 1
            start = text.find(name, start + 1)
        return [f"{word} {name}" for word, _ in before.most_common(MAX_LONGER_NAMES)]


def definitions(text: str) -> dict[str, str]:
    """Return each abbreviation that a text defines with its long form, by its first definition.

    After Schwartz and Hearst 2003, "A simple algorithm for identifying abbreviation definitions in biomedical text",
    implemented from the description in the paper.

    >>> definitions("Death of retinal ganglion cells (RGCs) and of cats (Felis catus).")
    {'RGCs': 'retinal ganglion cells', 'RGC': 'retinal ganglion cell'}
    """
    found: dict[str, str] = {}
    for match in _PARENTHESIS.finditer(text):
        short = match.group(1).strip()
        before = text[max(0, match.start() - 200) : match.start()].rstrip()
        if not _may_be_short(short) or not _long_form(short, before):
            continue
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
    # Letter by letter: the last sigma of a word is like any other, and the one letter that becomes two is left out.
    lower = before.replace("Σ", "σ").replace("İ", " ").lower()
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
