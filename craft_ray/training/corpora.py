"""Gold corpora: IOB files, and CRAFT as it is released, articles with standoff mentions."""

import gzip
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.hashing import hash64
from craft_ray.core.labels import TAG_SET, TAGS, canonical_tags
from craft_ray.model.tags import DOCSTART, iob_to_spans

LONG = 40
"""Letters in a row that make two texts the same sentence."""

GREEK = {
    letter: unicodedata.name(letter).removeprefix("GREEK SMALL LETTER ").lower()
    for letter in "αβγδεζηθικλμνξοπρστυφχψω"
}
"""Small Greek letters by the names with which texts spell them out; lambda's Unicode name is its older form."""
GREEK["λ"] = "lambda"


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Words and their IOB2 tags (`B-Protein`), of equal number."""

    words: list[str]
    tags: list[str]


def read_iob(path: str | Path) -> list[TaggedSentence]:
    """Read `word<TAB>...<TAB>tag` lines with a blank line between sentences; the tag is the last column.

    A file may be compressed (`.gz`). Lines that begin a document, `-DOCSTART-` as their word, are passed over.

    Raises SettingsError if the file is missing, has no sentence, or a line has fewer than two columns.
    """
    text = read_gold(Path(path), "the corpus")
    sentences = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        rows = [line.split("\t") for line in block.split("\n") if line.strip()]
        rows = [row for row in rows if row[0] != DOCSTART]
        if bad := next((row for row in rows if len(row) < 2), None):
            raise SettingsError(f"{path} is not in IOB form: the line {bad[0][:60]!r} has no tag")
        if rows:
            sentences.append(TaggedSentence([row[0] for row in rows], [row[-1] for row in rows]))
    if not sentences:
        raise SettingsError(f"{path} holds no sentence")
    tags = iter(canonical_tags([tag for sentence in sentences for tag in sentence.tags]))
    return [TaggedSentence(sentence.words, list(islice(tags, len(sentence.words)))) for sentence in sentences]


def mention_keys(labels: Sequence[str], surfaces: Sequence[str]) -> NDArray[np.int64]:
    """A number for each mention's label and text, white space aside: a checkpoint keeps those that training showed."""
    keys = (hash64(f"{label} {''.join(s.split())}".encode()) for label, s in zip(labels, surfaces, strict=True))
    return np.fromiter(keys, np.int64, len(labels))


def keys_shown(sentences: Sequence[TaggedSentence]) -> NDArray[np.int64]:
    """The sorted keys of all mentions of a corpus that has no labels but the six."""
    tags = np.array([TAGS.index(tag) for s in sentences for tag in s.tags], np.int8)
    words = [word for s in sentences for word in s.words]
    spans = iob_to_spans(tags, np.repeat(np.arange(len(sentences)), [len(s.words) for s in sentences]), TAG_SET)
    surfaces = ["".join(words[first : last + 1]) for first, last, _ in spans.rows().tolist()]
    return np.unique(mention_keys([TAG_SET.names[i] for i in spans.label], surfaces))


def read_gold(path: Path, what: str) -> str:
    """The text of a gold file, plain or gzip, with line ends as newlines.

    Raises SettingsError if it cannot be read.
    """
    try:
        content = path.read_bytes()
        return (
            (gzip.decompress(content) if path.suffix == ".gz" else content)
            .decode()
            .replace("\r\n", "\n")
            .replace("\r", "\n")
        )
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SettingsError(f"cannot read {what} {path}: {error}") from error
    except OSError as error:
        raise SettingsError(f"cannot read {what} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot read {what} {path}: it is not UTF-8") from error


@dataclass(frozen=True, slots=True)
class Corpus:
    """Tagged sentences in document order, and where they are from."""

    name: str
    sentences: list[TaggedSentence]


def without_overlap(corpus: Corpus, kept_apart: Corpus) -> Corpus:
    """The corpus without the sentences whose text occurs in another, by `text_key`.

    Corpora split the same text differently, so a sentence also goes if it shares LONG letters in a row with the other.
    """
    keys = {text_key(sentence.words) for sentence in kept_apart.sentences}
    parts = {key[at : at + LONG] for key in keys for at in range(len(key) - LONG + 1)}

    def stays(sentence: TaggedSentence) -> bool:
        key = text_key(sentence.words)
        return key not in keys and not any(key[at : at + LONG] in parts for at in range(len(key) - LONG + 1))

    return Corpus(corpus.name, [sentence for sentence in corpus.sentences if stays(sentence)])


def text_key(words: Sequence[str]) -> str:
    """Letters and digits of a text alone: no blanks, case, punctuation or accents, and Greek letters spelled out.

    >>> text_key(["PGC", "-", "1α"]) == text_key(["pgc-1 alpha"]) == "pgc1alpha"
    True
    """
    text = "".join(GREEK.get(c, c) for c in unicodedata.normalize("NFKD", "".join(words)).casefold())
    return "".join(c for c in text if c.isascii() and c.isalnum())
