"""Gold corpora: IOB files, and CRAFT as it is released, articles with standoff mentions."""

import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.hashing import hash64
from craft_ray.core.labels import ONTOLOGY, TAGS, canonical_tags, is_craft, label_of
from craft_ray.model.tags import DOCSTART, TagSet, iob_to_spans

LONG = 40
"""Letters in a row that make two texts the same sentence."""

BLOCK = 20
"""Consecutive sentences that a split keeps together."""

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
    """Read lines of a word, any columns and a tag, with a blank line between sentences.

    Columns are separated by tabs, or by blanks where the file has no tab. Tags are IOB, IOB2, BIOES or BILOU. A file
    may be compressed (`.gz`). Lines that begin a document, `-DOCSTART-` as their word, are passed over.

    Raises SettingsError if the file is missing, has no sentence, or a line has fewer than two columns.
    """
    text = read_gold(Path(path), "the corpus")
    separator = "\t" if "\t" in text else None
    sentences = []
    for block in re.split(r"\n[ \t]*\n", text):
        rows = [line.split(separator) for line in block.split("\n") if line.strip()]
        rows = [row for row in rows if row[0] != DOCSTART]
        if bad := next((row for row in rows if len(row) < 2), None):
            raise SettingsError(f"{path} is not in IOB form: the line {bad[0][:60]!r} has no tag")
        if rows:
            sentences.append(TaggedSentence([row[0] for row in rows], [row[-1] for row in rows]))
    if not sentences:
        raise SettingsError(f"{path} holds no sentence")
    tags = iter(canonical_tags(as_iob2([tag for sentence in sentences for tag in sentence.tags])))
    return [TaggedSentence(sentence.words, list(islice(tags, len(sentence.words)))) for sentence in sentences]


def as_iob2(tags: Sequence[str]) -> list[str]:
    """Tags of BIOES or BILOU as IOB2; those of IOB stay, whose mentions `iob_to_spans` finds as they are.

    >>> as_iob2(["S-Gene", "O", "B-Cell", "E-Cell"])
    ['B-Gene', 'O', 'B-Cell', 'I-Cell']
    """
    return [f"{_IOB2[tag[0]]}-{tag[2:]}" if tag[1:2] == "-" and tag[0] in _IOB2 else tag for tag in tags]


_IOB2 = {"S": "B", "U": "B", "E": "I", "L": "I"}
"""Prefixes of single words and of last words in BIOES and in BILOU."""


def tag_names(sentences: Iterable[TaggedSentence]) -> tuple[str, ...]:
    """The tags of a model for a corpus, by their ids: those of the six labels if it has no others, else its own.

    >>> tag_names([TaggedSentence(["flu"], ["B-Disease"])])
    ('O', 'B-Disease', 'I-Disease')
    """
    labels = {label_of(tag) for sentence in sentences for tag in sentence.tags} - {"O"}
    if labels <= set(ONTOLOGY) and is_craft(labels):
        return TAGS
    return ("O", *(f"{prefix}-{label}" for label in sorted(labels) for prefix in "BI"))


def mention_keys(labels: Sequence[str], surfaces: Sequence[str]) -> NDArray[np.int64]:
    """A number for each mention's label and text, white space aside: a checkpoint keeps those that training showed."""
    keys = (hash64(f"{label} {''.join(s.split())}".encode()) for label, s in zip(labels, surfaces, strict=True))
    return np.fromiter(keys, np.int64, len(labels))


def keys_shown(sentences: Sequence[TaggedSentence]) -> NDArray[np.int64]:
    """The sorted keys of all mentions of a corpus."""
    number = {tag: i for i, tag in enumerate(tag_names(sentences))}
    tag_set = TagSet.from_id2label({i: tag for tag, i in number.items()})
    tags = np.array([number[tag] for s in sentences for tag in s.tags], np.int8)
    words = [word for s in sentences for word in s.words]
    spans = iob_to_spans(tags, np.repeat(np.arange(len(sentences)), [len(s.words) for s in sentences]), tag_set)
    surfaces = ["".join(words[first : last + 1]) for first, last, _ in spans.rows().tolist()]
    return np.unique(mention_keys([tag_set.names[i] for i in spans.label], surfaces))


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


def split(corpus: Corpus, share: float, seed: int) -> tuple[Corpus, Corpus]:
    """A corpus in two: what is left, and about a share of its sentences, drawn at random in blocks of BLOCK.

    Neighbours, which often tell the same, stay together.

    Raises SettingsError if one of the two would be empty.
    """
    count = len(corpus.sentences)
    blocks = -(-count // BLOCK)
    drawn = np.random.default_rng(seed).permutation(blocks)[: round(blocks * share)]
    is_dev = np.isin(np.arange(count) // BLOCK, drawn)
    if not 0 < is_dev.sum() < count:
        raise SettingsError(f"{corpus.name} has {count} sentences: too few for a share of {share:g} to measure on")
    parts = ([s for s, dev in zip(corpus.sentences, is_dev, strict=True) if dev == wanted] for wanted in (False, True))
    rest, dev = parts
    return Corpus(corpus.name, rest), Corpus(f"{share:g} of {corpus.name}", dev)


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
