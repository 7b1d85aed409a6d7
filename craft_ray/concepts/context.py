"""What a document says about the names in it: abbreviations it defines, and longer forms of short names."""

import re
from collections import Counter
from functools import cached_property

from craft_ray.concepts.abbreviations import definitions
from craft_ray.concepts.forms import GREEK

MAX_LONGER_NAMES = 20
MAX_WORD = 40
"""Characters."""

NAME_GOES_ON = re.compile(rf"[-‐‑–](?:\d|{'|'.join(GREEK)})")
_LAST_WORD = re.compile(r"\b([\w-]+)[\s-]+\Z")


class Context:
    """A document's text. Everything is computed on first use."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    @cached_property
    def defined(self) -> dict[str, str]:
        """Long form of each abbreviation that the text defines."""
        return definitions(self.text)

    @cached_property
    def _defined_lower(self) -> dict[str, str]:
        return {short.casefold(): long for short, long in self.defined.items() if len(short) > 2}

    def long_form(self, word: str) -> str | None:
        """Long form of a word that the document defines as an abbreviation."""
        for short in (word, word[:-1] if word.endswith("s") else word):
            if long := self.defined.get(short) or self._defined_lower.get(short.casefold()):
                return long
        return None

    @cached_property
    def _short_forms(self) -> dict[str, str]:
        return {long.casefold(): short for short, long in reversed(self.defined.items())}

    def short_form(self, words: str) -> str | None:
        """The abbreviation that the document defines for some words."""
        return self._short_forms.get(words.casefold()) if self.defined else None

    def is_cut(self, symbol: str) -> bool:
        """True if each occurrence of a symbol is the beginning of a hyphenated name: `NF` in `NF-kappaB`."""
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
