"""Gold corpora in memory: documents with standoff mentions, and sentences of tagged words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import ONTOLOGY, TAGS, is_craft, label_of
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tags import Mention, tag_words
from craft_ray.model.wordpieces import word_splitter

SPLIT_BLOCK = 20
"""Consecutive sentences that `split` keeps together, because neighbours often say the same."""


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Words and their IOB2 tags, such as `B-Protein`."""

    words: list[str]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Tagged sentences in document order. `name` is for messages and the model card."""

    name: str
    sentences: list[TaggedSentence]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation of a standoff file.

    pieces:     (start, end) of each part in code points; several for a discontinuous mention
    surface:    the mention's text, if the format repeats it
    concept_id: CURIE of the annotated class, if there is one
    """

    label: str
    pieces: tuple[tuple[int, int], ...]
    surface: str | None = None
    concept_id: str | None = None


@dataclass(frozen=True, slots=True)
class GoldConcept:
    """A gold mention with its class. A discontinuous mention has several pieces."""

    pieces: tuple[tuple[int, int], ...]
    label: str
    concept_id: str

    def surface(self, text: str) -> str:
        """The mention's words in the document's text; pieces are joined by a blank."""
        return " ".join(text[start:end] for start, end in self.pieces)


@dataclass(frozen=True, slots=True)
class GoldDocument:
    """A text with its gold mentions.

    mentions:      contiguous mentions, sorted by offsets, without duplicates
    discontinuous: number of mentions in several pieces, which `mentions` leaves out
    concepts:      all mentions that have a class, discontinuous ones too
    """

    doc_id: str
    text: str
    mentions: tuple[Mention, ...]
    discontinuous: int = 0
    concepts: tuple[GoldConcept, ...] = ()


def gold_document(source: object, doc_id: str, text: str, annotations: Sequence[Annotation]) -> GoldDocument:
    """Build a document from its annotations.

    source: the file or folder, for error messages

    Raises SettingsError if an annotation lies outside the text, or its surface differs from the text at its offsets
    (white space aside): then all offsets of the corpus may be wrong.
    """
    mentions: set[Mention] = set()
    for annotation in annotations:
        for start, end in annotation.pieces:
            if not 0 <= start < end <= len(text):
                raise SettingsError(f"{source}: {doc_id} has a mention at {start}-{end}, outside its text")
        if len(annotation.pieces) == 1:
            ((start, end),) = annotation.pieces
            surface = annotation.surface
            if surface is not None and surface.split() != text[start:end].split():
                raise SettingsError(f"{source}: {doc_id} has {text[start:end]!r} at {start}-{end}, and not {surface!r}")
            mentions.add(Mention(start, end, annotation.label))
    return GoldDocument(
        doc_id,
        text,
        tuple(sorted(mentions, key=lambda m: (m.start, m.end, m.label))),
        sum(len(a.pieces) > 1 for a in annotations),
        tuple(GoldConcept(a.pieces, a.label, a.concept_id) for a in annotations if a.concept_id),
    )


def to_sentences(documents: Iterable[GoldDocument]) -> list[TaggedSentence]:
    """Split documents into tagged sentences, and these into words at blanks, punctuation and symbols."""
    splitter = word_splitter()
    sentences = []
    for document in documents:
        words = [
            (word, begin + start, begin + end, number)
            for number, (begin, stop) in enumerate(sentence_spans(document.text))
            for word, (start, end) in splitter.pre_tokenize_str(document.text[begin:stop])
        ]
        start, end, sentence = (np.array([row[column] for row in words]) for column in (1, 2, 3))
        tags = tag_words(start, end, sentence, document.mentions)
        for _, group in groupby(zip(words, tags, strict=True), lambda row: row[0][3]):
            rows = list(group)
            sentences.append(TaggedSentence([word[0] for word, _ in rows], [tag for _, tag in rows]))
    return sentences


def mention_spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """First word, end (exclusive) and label of each mention of a sentence, as `model.tags.iob_to_spans` finds them.

    >>> mention_spans(["B-Gene", "I-Gene", "O", "I-Cell"])
    [(0, 2, 'Gene'), (3, 4, 'Cell')]
    """
    spans: list[tuple[int, int, str]] = []
    for index, tag in enumerate(tags):
        label = label_of(tag)
        if not tag.startswith("B-") and spans and spans[-1][1:] == (index, label):
            spans[-1] = (spans[-1][0], index + 1, label)
        elif tag != "O":
            spans.append((index, index + 1, label))
    return spans


def tag_names(sentences: Iterable[TaggedSentence]) -> tuple[str, ...]:
    """The tags of a model for a corpus, in the order of their ids.

    These are the tags of CRAFT's six labels if the corpus has no others, else those of its own labels.

    >>> tag_names([TaggedSentence(["flu"], ["B-Disease"])])
    ('O', 'B-Disease', 'I-Disease')
    """
    labels = {label_of(tag) for sentence in sentences for tag in sentence.tags} - {"O"}
    if labels <= set(ONTOLOGY) and is_craft(labels):
        return TAGS
    return ("O", *(f"{prefix}-{label}" for label in sorted(labels) for prefix in "BI"))


def split(corpus: Corpus, share: float, seed: int) -> tuple[Corpus, Corpus]:
    """Split off about a share of the sentences for development, drawn at random in blocks of SPLIT_BLOCK.

    Returns the rest and the development corpus. Raises SettingsError if one of them would be empty.
    """
    count = len(corpus.sentences)
    blocks = -(-count // SPLIT_BLOCK)
    drawn = np.random.default_rng(seed).permutation(blocks)[: round(blocks * share)]
    in_dev = np.isin(np.arange(count) // SPLIT_BLOCK, drawn)
    if not 0 < in_dev.sum() < count:
        raise SettingsError(f"{corpus.name} has {count} sentences: too few for a development share of {share:g}")
    rest = [sentence for sentence, is_dev in zip(corpus.sentences, in_dev, strict=True) if not is_dev]
    dev = [sentence for sentence, is_dev in zip(corpus.sentences, in_dev, strict=True) if is_dev]
    return Corpus(corpus.name, rest), Corpus(f"{share:g} of {corpus.name}", dev)
