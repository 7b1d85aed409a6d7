"""Gold corpora in memory: documents with standoff mentions, and their sentences."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.hashing import hash64
from craft_ray.core.labels import in_order
from craft_ray.core.logs import log
from craft_ray.core.schema import Entity
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tags import Mention

T = TypeVar("T", Mention, "GoldConcept")
Item = TypeVar("Item", "Sentence", "GoldDocument")

SHARED_LENGTH = 40
"""Length in letters of a common substring that makes two sentences the same text."""

GREEK = {
    letter: unicodedata.name(letter).removeprefix("GREEK SMALL LETTER ").lower()
    for letter in "αβγδεζηθικλμνξοπρστυφχψω"
} | {"λ": "lambda"}  # Unicode's name is the older "lamda"
"""Lower-case Greek letters and their names as texts spell them out."""

SPLIT_BLOCK = 20
"""Consecutive sentences that `split` keeps together, because neighbours often say the same."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with its gold mentions, sorted by their offsets in it."""

    text: str
    mentions: tuple[Mention, ...] = ()

    def replaced(self, parts: Sequence[tuple[int, int, str]]) -> "Sentence":
        """The sentence with other text at some offsets.

        Mentions keep their text around a part and grow or shrink with a part inside them. One that begins or ends
        within a part is dropped.

        parts: start, end and new text, sorted, disjoint and not empty before
        """
        starts, ends = [start for start, _, _ in parts], [end for _, end, _ in parts]
        growth = np.cumsum([0, *(len(new) - (end - start) for start, end, new in parts)]).tolist()

        def moved(offset: int) -> int | None:
            before = bisect_right(ends, offset)  # parts that end by the offset
            inside = before < len(parts) and starts[before] < offset
            return None if inside else offset + growth[before]

        mentions = [(moved(m.start), moved(m.end), m.label) for m in self.mentions]
        kept = [Mention(start, end, label) for start, end, label in mentions if start is not None and end is not None]
        between = map(slice, [0, *ends], [*starts, None])
        new = [*(new for _, _, new in parts), ""]
        text = "".join(self.text[old] + own for old, own in zip(between, new, strict=True))
        return Sentence(text, tuple(kept))


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sentences in document order.

    name:   for messages and the model card
    shared: labels of an auxiliary corpus that mean the same as in the main one
    """

    name: str
    sentences: list[Sentence]
    shared: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the mentions, CRAFT's own in their order, then others by name."""
        return in_order({mention.label for sentence in self.sentences for mention in sentence.mentions})

    def renamed(self, shared: Mapping[str, str]) -> "Corpus":
        """Give some labels the names of labels of the main corpus that mean the same.

        An own label that has the name of one of these without being shared is numbered, so that both are told apart.
        """
        taken = set(shared.values())
        name = {label: shared.get(label, f"{label} 2" if label in taken else label) for label in self.labels}
        sentences = [_selected(sentence, name, set(name.values())) for sentence in self.sentences]
        return replace(self, sentences=sentences, shared=tuple(sorted(taken)))


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation of a standoff file.

    pieces:     (start, end) of each part in code points; several for a discontinuous mention
    surface:    the mention's text, if the format repeats it
    concept_id: CURIE of the annotated class, if there is one; `|` between those of a mention of several
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
    dropped:       number of annotations whose offsets do not reproduce their text
    is_sentence:   whether the corpus has it as a sentence, which stays whole
    """

    doc_id: str
    text: str
    mentions: tuple[Mention, ...]
    discontinuous: int = 0
    concepts: tuple[GoldConcept, ...] = ()
    dropped: int = 0
    is_sentence: bool = False


Parts = tuple[str, str, list[Annotation]]
"""Id, text and annotations of a document."""

MAX_FAULTS = 0.05
"""Share of a corpus's mentions that may have wrong offsets. With more, all its offsets may be wrong."""


def gold_documents(source: object, corpus: Sequence[Parts]) -> list[GoldDocument]:
    """Build the documents of a corpus. Raises SettingsError if the offsets of more than MAX_FAULTS of it are wrong."""
    documents = [_gold_document(*parts) for parts in corpus]
    if dropped := sum(document.dropped for document in documents):
        faults = ((name, _fault(text, one)) for name, text, annotations in corpus for one in annotations)
        example = next(f"{name} {found}" for name, found in faults if found)
        if dropped > MAX_FAULTS * sum(len(annotations) for _, _, annotations in corpus):
            raise SettingsError(f"{source}: {dropped:,} mentions have wrong offsets; {example}")
        log.warning("%s: %s mentions with wrong offsets are left out; %s", source, f"{dropped:,}", example)
    return documents


def _gold_document(doc_id: str, text: str, annotations: Sequence[Annotation]) -> GoldDocument:
    """Build a document from its annotations, without those with wrong offsets."""
    kept = [annotation for annotation in annotations if _fault(text, annotation) is None]
    mentions = {Mention(*a.pieces[0], a.label) for a in kept if len(a.pieces) == 1}
    return GoldDocument(
        doc_id,
        text,
        tuple(sorted(mentions, key=lambda m: (m.start, m.end, m.label))),
        sum(len(a.pieces) > 1 for a in kept),
        tuple(GoldConcept(a.pieces, a.label, a.concept_id) for a in kept if a.concept_id),
        len(annotations) - len(kept),
    )


def _fault(text: str, annotation: Annotation) -> str | None:
    """What is wrong with an annotation: its offsets are outside the text or, white space aside, give another text."""
    for start, end in annotation.pieces:
        if not 0 <= start < end <= len(text):
            return f"has a mention at {start}-{end}, outside its text"
    start, end = annotation.pieces[0]
    surface = annotation.surface
    if surface is not None and len(annotation.pieces) == 1 and surface.split() != text[start:end].split():
        return f"has {text[start:end]!r} at {start}-{end}, and not {surface!r}"
    return None


def select_labels(items: Sequence[Item], names: Mapping[str, str], labels: Iterable[str] = ()) -> list[Item]:
    """Rename labels of documents or sentences, and keep the mentions and concepts of some labels alone.

    names:  new name of each label to rename
    labels: labels to keep, by their new names; none for all

    Raises SettingsError for a label that none of them has.
    """
    known = {mention.label for item in items for mention in item.mentions}
    kept = set(labels) or {names.get(label, label) for label in known}
    if unknown := (set(names) - known) or (kept - {names.get(label, label) for label in known}):
        raise SettingsError(f"the corpus has no label {min(unknown)}: it has {', '.join(sorted(known))}")
    return [_selected(item, names, kept) for item in items]


def _selected(item: Item, names: Mapping[str, str], kept: set[str]) -> Item:
    if isinstance(item, Sentence):
        return replace(item, mentions=_renamed(item.mentions, names, kept))
    mentions, concepts = _renamed(item.mentions, names, kept), _renamed(item.concepts, names, kept)
    return replace(item, mentions=mentions, concepts=concepts)


def _renamed(mentions: Iterable[T], names: Mapping[str, str], kept: set[str]) -> tuple[T, ...]:
    renamed = (replace(mention, label=names.get(mention.label, mention.label)) for mention in mentions)
    return tuple(mention for mention in renamed if mention.label in kept)


def with_silver(
    documents: Iterable[GoldDocument],
    names: Mapping[str, str],
    found: Iterable[Iterable[Entity]],
    labels: Iterable[str],
) -> list[GoldDocument]:
    """Keep the gold mentions of some labels of documents, and add the mentions that a model has found of others.

    names:  new name of each gold label to keep
    found:  the model's entities, by document
    labels: those of the result; the model supplies all that `names` does not
    """
    silver = set(labels) - set(names.values())
    result = []
    for document, entities in zip(documents, found, strict=True):
        gold = [replace(m, label=names[m.label]) for m in document.mentions if m.label in names]
        mentions = gold + [Mention(e.start, e.end, e.label) for e in entities if e.label in silver]
        result.append(replace(document, mentions=tuple(sorted(mentions, key=lambda m: (m.start, m.end, m.label)))))
    return result


def to_sentences(documents: Iterable[GoldDocument]) -> list[Sentence]:
    """Split documents into sentences. A mention that crosses a boundary becomes one in each of its sentences."""
    sentences = []
    for document in documents:
        waiting = list(document.mentions)
        spans = [(0, len(document.text))] if document.is_sentence else sentence_spans(document.text)
        for begin, stop in spans:
            inside = [m for m in waiting if m.start < stop]
            sentences.append(
                Sentence(
                    document.text[begin:stop],
                    tuple(
                        Mention(max(m.start, begin) - begin, min(m.end, stop) - begin, m.label)
                        for m in inside
                        if m.end > begin
                    ),
                )
            )
            waiting = [m for m in inside if m.end > stop] + waiting[len(inside) :]
    return sentences


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
    return replace(corpus, sentences=rest), Corpus(f"{share:g} of {corpus.name}", dev)


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


def mention_keys(mentions: Iterable[tuple[str, str]]) -> NDArray[np.int64]:
    """A hash of each mention, given as label and text. White space in the text is ignored.

    A checkpoint stores those of its training corpus, so that an evaluation can separate seen from unseen mentions.
    """
    return np.array([hash64(f"{label} {''.join(text.split())}".encode()) for label, text in mentions], np.int64)


def corpus_keys(sentences: Iterable[Sentence]) -> NDArray[np.int64]:
    """The sorted keys of all mentions of a corpus."""
    return np.unique(mention_keys((m.label, s.text[m.start : m.end]) for s in sentences for m in s.mentions))
