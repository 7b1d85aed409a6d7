"""Gold corpora: IOB files, and CRAFT as it is released, articles with standoff mentions."""

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from lxml import etree
from numpy.typing import NDArray
from tokenizers.pre_tokenizers import BertPreTokenizer

from craft_ray.errors import SettingsError
from craft_ray.identity import id_hash
from craft_ray.labels import LABELS, TAG_SET, TAGS, canonical_tag
from craft_ray.sentences import sentence_spans
from craft_ray.spans import find_spans

DOCSTART = "-DOCSTART-"
"""The word of a line that begins a document."""


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Words and their IOB2 tags (`B-Protein`), of equal number."""

    words: list[str]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class Mention:
    """A gold mention of one piece: `text[start:end]`, in code points."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class GoldDocument:
    """A text with its mentions; `discontinuous` counts those in several pieces, by label, which are left out."""

    doc_id: str
    text: str
    mentions: tuple[Mention, ...]
    discontinuous: dict[str, int]


def read_iob(path: str | Path) -> list[TaggedSentence]:
    """Read `word<TAB>...<TAB>tag` lines with a blank line between sentences; the tag is the last column.

    A file may be compressed (`.gz`). Lines that begin a document, `-DOCSTART-` as their word, are passed over.

    Raises SettingsError if the file is missing, has no sentence, or a line has fewer than two columns.
    """
    text = _read(Path(path), "the corpus")
    sentences = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        rows = [line.split("\t") for line in block.split("\n") if line.strip()]
        rows = [row for row in rows if row[0] != DOCSTART]
        if bad := next((row for row in rows if len(row) < 2), None):
            raise SettingsError(f"{path} is not in IOB form: the line {bad[0][:60]!r} has no tag")
        if rows:
            sentences.append(TaggedSentence([row[0] for row in rows], [canonical_tag(row[-1]) for row in rows]))
    if not sentences:
        raise SettingsError(f"{path} holds no sentence")
    return sentences


_STANDOFF = {"Gene": "GO_CC", **{label.name: label.ontology for label in LABELS if label.name != "Gene"}}
"""The folder in which CRAFT keeps each label's mentions; of GO, the label holds cellular components alone."""


def read_craft(folder: str | Path, ids: str | Path | None = None) -> list[GoldDocument]:
    """Read the CRAFT corpus in its native form: plain text and Knowtator XML, offsets in code points.

    folder: a copy of https://github.com/UCDenver-ccp/CRAFT (`articles/txt`, `concept-annotation/PR/PR/knowtator`), or
            its parts as `txt` and `standoff/PR`
    ids:    file of the articles to read, a PubMed id a line; None for all

    Raises SettingsError if the folder is no such corpus, or an article or its mentions are missing.
    """
    folder = Path(folder)
    texts = next((place for place in (folder / "articles" / "txt", folder / "txt") if place.is_dir()), None)
    if texts is None:
        raise SettingsError(f"{folder} is no CRAFT corpus: it has neither articles/txt nor txt")
    names = _read(Path(ids), "the list of articles").split() if ids else sorted(p.stem for p in texts.glob("*.txt"))
    if not names:
        raise SettingsError(f"there are no articles in {ids or texts}")
    return [_craft_document(folder, texts, name) for name in names]


def _craft_document(folder: Path, texts: Path, name: str) -> GoldDocument:
    text = _read(texts / f"{name}.txt", "the article")
    mentions: set[Mention] = set()
    discontinuous = {}
    for label, part in _STANDOFF.items():
        places = (
            folder / "concept-annotation" / part / part / "knowtator" / f"{name}.txt.knowtator.xml",
            folder / "standoff" / part / f"{name}.xml",
        )
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            raise SettingsError(f"the article {name} has no {part} mentions in {folder}")
        spans = _knowtator_spans(file)
        found = {Mention(*pieces[0], label) for pieces in spans if len(pieces) == 1}
        if bad := next((m for m in found if not 0 <= m.start < m.end <= len(text)), None):
            raise SettingsError(f"{file} has a mention at {bad.start}-{bad.end}, outside the article's text")
        mentions |= found
        discontinuous[label] = sum(len(pieces) > 1 for pieces in spans)
    return GoldDocument(name, text, tuple(sorted(mentions, key=lambda m: (m.start, m.end, m.label))), discontinuous)


def _knowtator_spans(file: Path) -> list[tuple[tuple[int, int], ...]]:
    """The pieces of each mention of a Knowtator file."""
    try:
        root = etree.parse(file, etree.XMLParser(resolve_entities=False, no_network=True)).getroot()
        return [
            tuple((int(span.attrib["start"]), int(span.attrib["end"])) for span in annotation.iterfind("span"))
            for annotation in root.iterfind("annotation")
        ]
    except (etree.XMLSyntaxError, KeyError, ValueError) as error:
        raise SettingsError(f"{file} is not Knowtator XML: {error}") from error


def tag_words(
    start: NDArray[np.integer], end: NDArray[np.integer], sentence: NDArray[np.integer], mentions: Sequence[Mention]
) -> list[str]:
    """IOB2 tags of a document's words from its mentions, laid as `lay_mentions` does.

    start, end, sentence: (words,) code point offsets in the document and the number of the word's sentence
    """
    return tags_of(lay_mentions(start, end, mentions), sentence)


def lay_mentions(
    start: NDArray[np.integer], end: NDArray[np.integer], mentions: Sequence[Mention]
) -> list[tuple[int, int, str]]:
    """First word, end and label of each mention that words can show.

    A word belongs to a mention that it overlaps. Of mentions that overlap each other the longest counts, of equal ones
    the first.

    start, end: (words,) code point offsets in the document
    """
    laid = []
    taken = np.zeros(len(start), np.bool_)
    for mention in sorted(mentions, key=lambda m: (m.start - m.end, m.start, m.label)):
        first = int(np.searchsorted(end, mention.start, side="right"))
        to = int(np.searchsorted(start, mention.end, side="left"))
        if first < to and not taken[first:to].any():
            taken[first:to] = True
            laid.append((first, to, mention.label))
    return laid


def tags_of(laid: Sequence[tuple[int, int, str]], sentence: NDArray[np.integer]) -> list[str]:
    """IOB2 tags of words; what crosses a sentence's end goes on as a mention of its own.

    laid:     as `lay_mentions` gives it
    sentence: (words,) the number of the word's sentence
    """
    tags = ["O"] * len(sentence)
    for first, to, label in laid:
        for word in range(first, to):
            goes_on = word > first and sentence[word] == sentence[word - 1]
            tags[word] = f"{'I' if goes_on else 'B'}-{label}"
    return tags


def mention_keys(labels: Sequence[str], surfaces: Sequence[str]) -> NDArray[np.int64]:
    """A number for each mention's label and text, white space aside: a checkpoint keeps those that training showed."""
    keys = (id_hash(f"{label} {''.join(s.split())}") for label, s in zip(labels, surfaces, strict=True))
    return np.fromiter(keys, np.int64, len(labels))


def keys_shown(sentences: Sequence[TaggedSentence]) -> NDArray[np.int64]:
    """The sorted keys of all mentions of a corpus that has no labels but the six."""
    tags = np.array([TAGS.index(tag) for s in sentences for tag in s.tags], np.int8)
    words = [word for s in sentences for word in s.words]
    spans = find_spans(tags, np.repeat(np.arange(len(sentences)), [len(s.words) for s in sentences]), TAG_SET)
    surfaces = ["".join(words[first : last + 1]) for first, last, _ in spans.rows().tolist()]
    return np.unique(mention_keys([TAG_SET.names[i] for i in spans.label], surfaces))


def to_sentences(documents: Sequence[GoldDocument]) -> list[TaggedSentence]:
    """Documents as tagged sentences, split into sentences and into words at blanks and punctuation as BERT does."""
    splitter = BertPreTokenizer()
    sentences = []
    for document in documents:
        words, starts, ends, numbers = [], [], [], []
        for number, (at, to) in enumerate(sentence_spans(document.text)):
            for word, (start, end) in splitter.pre_tokenize_str(document.text[at:to]):
                words.append(word)
                starts.append(at + start)
                ends.append(at + end)
                numbers.append(number)
        tags = tag_words(np.array(starts), np.array(ends), np.array(numbers), document.mentions)
        for _, group in groupby(range(len(words)), numbers.__getitem__):
            places = list(group)
            sentences.append(TaggedSentence([words[i] for i in places], [tags[i] for i in places]))
    return sentences


def read_sentences(path: str | Path, ids: str | Path | None = None) -> list[TaggedSentence]:
    """Read a corpus in either form: an IOB file, a folder of IOB files (`*.tsv`), or CRAFT as released.

    Raises SettingsError if it is none of these.
    """
    folder = Path(path)
    if not folder.is_dir():
        if ids is not None:
            raise SettingsError(f"a list of articles goes with a folder of CRAFT, and {path} is none")
        return read_iob(path)
    if files := sorted(folder.glob("*.tsv")):
        return [sentence for file in files for sentence in read_iob(file)]
    return to_sentences(read_craft(folder, ids))


def _read(path: Path, what: str) -> str:
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
