"""Keep the development text out of the training corpora."""

import unicodedata
from dataclasses import replace

from craft_ray.training.corpora import Corpus, Sentence

SHARED_LENGTH = 40
"""Length in letters of a common substring that makes two sentences the same text."""

GREEK = {
    letter: unicodedata.name(letter).removeprefix("GREEK SMALL LETTER ").lower()
    for letter in "αβγδεζηθικλμνξοπρστυφχψω"
} | {"λ": "lambda"}  # Unicode's name is the older "lamda"
"""Lower-case Greek letters and their names as texts spell them out."""


def without_overlap(corpus: Corpus, held_out: Corpus) -> Corpus:
    """Remove the sentences whose text also occurs in another corpus, as compared by `text_key`.

    Corpora split the same text differently, so a common substring of SHARED_LENGTH letters is enough.
    """
    keys = {text_key(sentence.text) for sentence in held_out.sentences}
    parts = {part for key in keys for part in _substrings(key)}

    def is_new(sentence: Sentence) -> bool:
        key = text_key(sentence.text)
        return key not in keys and parts.isdisjoint(_substrings(key))

    return replace(corpus, sentences=[sentence for sentence in corpus.sentences if is_new(sentence)])


def text_key(text: str) -> str:
    """Letters and digits alone: without blanks, case, punctuation and accents, and with Greek letters spelled out.

    >>> text_key("PGC-1α") == text_key("pgc-1 alpha") == "pgc1alpha"
    True
    """
    spelled = "".join(GREEK.get(c, c) for c in unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in spelled if c.isascii() and c.isalnum())


def _substrings(key: str) -> list[str]:
    return [key[start : start + SHARED_LENGTH] for start in range(len(key) - SHARED_LENGTH + 1)]
