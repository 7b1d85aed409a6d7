"""A document as it tells about the names in it: the abbreviations that it defines, and longer forms of short names."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from craft_ray.concepts.abbreviations import definitions

MOST = 20
"""Longer forms of one name that are tried."""


LONGEST_WORD = 40

_LAST_WORD = re.compile(r"\b([\w-]+)[\s-]+\Z")


class Context:
    """A document's text; what is asked of it is found when it is asked."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    @cached_property
    def defined(self) -> dict[str, str]:
        """The long form of each abbreviation that the text defines."""
        return definitions(self.text)

    def long_form(self, word: str) -> str | None:
        """The long form of a word, if the document says that it is an abbreviation."""
        for short in (word, word[:-1] if word.endswith("s") else word):
            if long := self.defined.get(short) or self._defined_small.get(short.casefold()):
                return long
        return None

    @cached_property
    def _defined_small(self) -> dict[str, str]:
        return {short.casefold(): long for short, long in self.defined.items() if len(short) > 2}

    @cached_property
    def capitalised(self) -> dict[str, list[str]]:
        """The capitalised words of the text by first letter, most frequent first."""
        counted = Counter(re.findall(r"\b[A-Z][a-z]{2,}\b", self.text))
        words: dict[str, list[str]] = {}
        for word, _ in counted.most_common():
            words.setdefault(word[0], []).append(word)
        return words

    def ending_with(self, name: str) -> Iterable[str]:
        """Longer names in the text that end with a name: `replication fork` for `fork`."""
        before = Counter[str]()
        text = self.text
        at = text.find(name, 1)
        while at > 0:
            if (text[at - 1].isspace() or text[at - 1] == "-") and (
                match := _LAST_WORD.search(text, max(0, at - LONGEST_WORD), at)
            ):
                before[match.group(1).casefold()] += 1
            at = text.find(name, at + 1)
        return [f"{word} {name}" for word, _ in before.most_common(MOST)]
