"""Normal forms of names and mentions, computed for a batch of strings at a time.

A string has four forms, each looser than the one before:

- exact: Unicode composed, white space collapsed: `PAX-6`
- folded: without case, accents, hyphens and blanks, Greek letters spelled out: `pax6`, `tnfalpha` for `TNF-α`
- singular: folded, the last word in the singular: `tcell` for `T cells`
- relaxed: singular, without Latin endings: `mitochondri` for `mitochondria` and `mitochondrion`

Names are found by the hash of their relaxed form. Short checksums of the other forms tell how close the match is.
"""

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

EXACT, FOLDED, SINGULAR, RELAXED = 0, 1, 2, 3
"""Closeness of a match. SINGULAR: the singular form of the mention equals the folded form of the name."""

BATCH = 20_000
"""Strings that are joined and processed as one text, which leaves most work to a few calls of C functions."""


class Keys(NamedTuple):
    """Forms of strings as numbers, (strings,) each.

    key:     48 bits of a hash of the relaxed form; 0 for a string without letters and digits
    singular, folded: difference of the form's checksum from that of the relaxed form
    exact:   difference from the checksum of the folded words, plus the number of blanks

    Most names have the differences 0, so that lexicons compress well.
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
GREEK = frozenset((*_GREEK_LETTERS, *_GREEK_NAMES.split()))
"""Greek letters and their names."""


def _folding() -> dict[int, str | None]:
    """Translation table: punctuation to blanks, combining accents to nothing, Greek letters to their names."""
    table: dict[int, str | None] = dict.fromkeys(range(768, 880))
    for code in (*range(0x80), *range(0xA0, 0x180), *range(0x2000, 0x2070), *range(0x2190, 0x2300)):
        if not chr(code).isalnum() and chr(code) not in "\n+":
            table[code] = " "
    return table | dict(zip(map(ord, _GREEK_LETTERS), _GREEK_NAMES.split(), strict=True))


_FOLDING = _folding()

_PLURAL = re.compile(
    r"(?<=[a-z]{3})(?:(?P<y>ies)|(?<=ss|sh|ch|.x|zz)es|(?<=[^sui])s)$|(?<=[a-z0-9]{2}[0-9])s$", re.MULTILINE
)
_LATIN = re.compile(r"(?<=[a-z]{3})(?:(?P<us>i)|(?<=[a-z]{2})(?:on|um|a)|(?P<is>(?<=s)[ei]s))$", re.MULTILINE)


SHORT = 3
"""Characters of a symbol at most."""


def is_symbol(text: str) -> bool:
    """True for a string too short to mean one thing wherever it stands: up to SHORT characters that are no plain word,
    or one Greek letter.

    >>> [is_symbol(text) for text in ("E2", "TCA", "T", "beta", "rat", "Rat", "Pax6")]
    [True, True, True, True, False, False, False]
    """
    if text.casefold() in GREEK:
        return True
    return len(text) <= SHORT and not (len(text) == SHORT and text.isalpha() and text[1:].islower())


def _replace_ending(match: re.Match[str]) -> str:
    return match.lastgroup or ""


def exact_form(text: str) -> str:
    """Compose characters and collapse white space.

    >>> exact_form(" T  cell ")
    'T cell'
    """
    text = " ".join(text.split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded_words(texts: Sequence[str]) -> list[str]:
    """Fold strings but keep their words apart.

    >>> folded_words(["TNF-α", "Ca2+", "naïve T  cells"])
    ['tnf alpha', 'ca2+', 'naive t cells']
    """
    result: list[str] = []
    for start in range(0, len(texts), BATCH):
        joined = "\n".join(texts[start : start + BATCH])
        if not joined.isascii():
            joined = unicodedata.normalize("NFKD", joined)
        folded = joined.casefold().translate(_FOLDING)
        result += [" ".join(line.split()) for line in folded.split("\n")]
    return result


def cased_form(text: str) -> str:
    """Fold a string but keep its case and nothing between words.

    >>> cased_form("TNF-α"), cased_form("HEK 293")
    ('TNFalpha', 'HEK293')
    """
    return "".join(unicodedata.normalize("NFKD", text).translate(_FOLDING).split())


def singular_words(words: Sequence[str]) -> list[str]:
    """Put the last word of folded strings into the singular.

    >>> singular_words(["t cells", "cell bodies", "glass"])
    ['t cell', 'cell body', 'glass']
    """
    return _PLURAL.sub(_replace_ending, "\n".join(words)).split("\n") if words else []


def relaxed_words(singular: Sequence[str]) -> list[str]:
    """Remove Latin endings and differences of spelling. The result need not be a word.

    >>> relaxed_words(["nuclei", "mitochondria", "mitochondrion", "haem"])
    ['nucleus', 'mitochondri', 'mitochondri', 'hem']
    """
    joined = "\n".join(singular).replace("ae", "e").replace("oe", "e").replace("sulph", "sulf")
    return _LATIN.sub(_replace_ending, joined).split("\n") if singular else []


def keys(texts: Sequence[str]) -> Keys:
    exact = [exact_form(text) for text in texts]
    words = folded_words(exact)
    singular = singular_words(words)
    relaxed = [form.replace(" ", "") for form in relaxed_words(singular)]
    digests = b"".join([blake2b(form.encode(), digest_size=8).digest() for form in relaxed])
    key = np.frombuffer(digests, np.uint64) >> np.uint64(16)
    key[[not form for form in relaxed]] = 0
    base = _checksums(relaxed)
    blanks = np.fromiter((form.count(" ") for form in words), np.uint32, len(words))
    return Keys(
        key,
        (_checksums([form.replace(" ", "") for form in singular]) ^ base).astype(np.uint16),
        (_checksums([form.replace(" ", "") for form in words]) ^ base).astype(np.uint16),
        ((_checksums(exact) ^ _checksums(words)) + blanks).astype(np.uint8),
    )


def _checksums(forms: Sequence[str]) -> NDArray[np.uint32]:
    return np.fromiter((crc32(form.encode()) for form in forms), np.uint32, len(forms))
