"""Normal forms of names and mentions, a batch of strings at a time; pure.

A name has four forms, each looser than the one before:

- exact: Unicode composed, blanks collapsed: `PAX-6`
- folded: case, accents, hyphens and blanks gone, Greek letters spelt: `pax6`, and `tnfalpha` for `TNF-α`
- singular: folded, without the plural of the last word: `tcell` for `T cells`
- relaxed: singular, without Latin endings: `mitochondri` for `mitochondria` and `mitochondrion`

The key of a name is the hash of its relaxed form. Short checks beside it tell whether the tighter forms agree too.
So one look-up finds all names, and each match says how near it is.
"""

import hashlib
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EXACT, FOLDED, SINGULAR, RELAXED = 0, 1, 2, 3
"""How near a match is; SINGULAR where the singular form of the mention is the folded form of the name."""

AT_ONCE = 20_000
"""Strings that are handled as one text: most of the work is then a few calls of C functions."""


class Keys(NamedTuple):
    """The forms of strings as numbers, (strings,) each.

    key:     hash of the relaxed form; 0 for a string without letters and digits
    singular, folded, exact: checks of the other forms
    """

    key: NDArray[np.uint64]
    singular: NDArray[np.uint16]
    folded: NDArray[np.uint16]
    exact: NDArray[np.uint8]


_GREEK_LETTERS = "αβγδεζηθικλμνξοπρστυφχψω"
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi "
    "psi omega"
)
_GREEK = dict(zip(_GREEK_LETTERS, _GREEK_NAMES.split(), strict=True))


def _folding() -> dict[int, str | None]:
    """The characters that folding changes: punctuation to a blank, accents to nothing, Greek to its name."""
    table: dict[int, str | None] = dict.fromkeys(range(768, 880))  # combining accents
    for code in (*range(0x80), *range(0xA0, 0x180), *range(0x2000, 0x2070), *range(0x2190, 0x2300)):
        if not chr(code).isalnum() and chr(code) not in "\n+":
            table[code] = " "
    return table | {ord(letter): name for letter, name in _GREEK.items()}


_FOLDING = _folding()

_PLURAL = re.compile(
    r"(?<=[a-z]{3})(?:(?P<y>ies)|(?<=ss|sh|ch|.x|zz)es|(?<=[^sui])s)$|(?<=[a-z0-9]{2}[0-9])s$", re.MULTILINE
)
_LATIN = re.compile(r"(?<=[a-z]{3})(?:(?P<us>i)|(?<=[a-z]{2})(?:on|um|a)|(?P<is>(?<=s)[ei]s))$", re.MULTILINE)
_ENDINGS = {"y": "y", "us": "us", "is": "is"}


def _other_ending(match: re.Match[str]) -> str:
    return _ENDINGS.get(match.lastgroup or "", "")


def exact_form(text: str) -> str:
    """A string with composed characters and single blanks.

    >>> exact_form(" T  cell ")
    'T cell'
    """
    text = " ".join(text.split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded_words(texts: Sequence[str]) -> list[str]:
    """Strings in small letters without accents and punctuation; Greek letters are spelt.

    >>> folded_words(["TNF-α", "Ca2+", "naïve T  cells"])
    ['tnf alpha', 'ca2+', 'naive t cells']
    """
    result: list[str] = []
    for at in range(0, len(texts), AT_ONCE):
        joined = "\n".join(texts[at : at + AT_ONCE])
        if not joined.isascii():
            joined = unicodedata.normalize("NFKD", joined)
        folded = joined.casefold().translate(_FOLDING)
        result += [" ".join(line.split()) for line in folded.split("\n")]
    return result


def singular_words(words: Sequence[str]) -> list[str]:
    """Folded strings whose last word is in the singular.

    >>> singular_words(["t cells", "cell bodies", "glass"])
    ['t cell', 'cell body', 'glass']
    """
    return _PLURAL.sub(_other_ending, "\n".join(words)).split("\n") if words else []


def relaxed_words(singular: Sequence[str]) -> list[str]:
    """Strings in the singular without Latin endings and without differences of spelling.

    The result need not be a word: it is only compared.

    >>> relaxed_words(["nuclei", "mitochondria", "mitochondrion", "haem"])
    ['nucleus', 'mitochondri', 'mitochondri', 'hem']
    """
    joined = "\n".join(singular).replace("ae", "e").replace("oe", "e").replace("sulph", "sulf")
    return _LATIN.sub(_other_ending, joined).split("\n") if singular else []


def keys(texts: Sequence[str]) -> Keys:
    """The keys of strings; `exact_form` is applied first."""
    texts = [exact_form(text) for text in texts]
    words = folded_words(texts)
    folded = [form.replace(" ", "") for form in words]
    in_singular = singular_words(words)
    singular = [form.replace(" ", "") for form in in_singular]
    relaxed = [form.replace(" ", "") for form in relaxed_words(in_singular)]
    key = np.frombuffer(_digests(relaxed), np.uint64).copy()
    key[[not form for form in relaxed]] = 0
    checks = (_checks(singular).astype(np.uint16), _checks(folded).astype(np.uint16), _checks(texts).astype(np.uint8))
    return Keys(key, *checks)


def _digests(forms: Iterable[str]) -> bytes:
    blake2b = hashlib.blake2b
    return b"".join([blake2b(form.encode(), digest_size=8).digest() for form in forms])


def _checks(forms: Sequence[str]) -> NDArray[np.uint32]:
    crc32 = zlib.crc32
    return np.fromiter((crc32(form.encode()) for form in forms), np.uint32, len(forms))
