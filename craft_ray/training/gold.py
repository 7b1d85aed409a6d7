"""A gold corpus in any of its forms, as tagged sentences."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import canonical_tags
from craft_ray.model.tags import Mention, TagSet, iob_to_spans
from craft_ray.training.corpora import TaggedSentence, read_iob
from craft_ray.training.craft import GoldDocument, read_craft, texts_of, to_sentences
from craft_ray.training.standoff import read_standoff


def read_documents(path: str | Path, ids: str | Path | None = None) -> list[GoldDocument]:
    """Read a corpus as texts with mentions: CRAFT as released, a standoff corpus, or IOB.

    A sentence of IOB becomes a text of its own, its words with a blank between each two: nothing tells how they stood.

    Raises SettingsError if it is none of these.
    """
    place = Path(path)
    if place.is_dir() and texts_of(place) is not None:
        return read_craft(place, ids)
    if ids is not None:
        raise SettingsError(f"a list of articles goes with a folder of CRAFT, and {path} is none")
    documents = read_standoff(place)
    if documents is None:
        return [_as_document(f"{place.name}#{n}", s) for n, s in enumerate(read_sentences(place), 1)]
    labels = sorted({mention.label for document in documents for mention in document.mentions})
    spelt = dict(zip(labels, canonical_tags(labels), strict=True))
    return [
        replace(document, mentions=tuple(replace(m, label=spelt[m.label]) for m in document.mentions))
        for document in documents
    ]


def _as_document(doc_id: str, sentence: TaggedSentence) -> GoldDocument:
    """A sentence as a text of its own."""
    length = np.array([len(word) for word in sentence.words])
    end = np.cumsum(length + 1) - 1
    number = {tag: i for i, tag in enumerate(sorted({"O", *sentence.tags}))}
    if len(number) == 1:
        return GoldDocument(doc_id, " ".join(sentence.words), (), {})
    tags = TagSet.from_id2label({i: tag for tag, i in number.items()})
    spans = iob_to_spans(np.array([number[tag] for tag in sentence.tags]), np.zeros(len(length), np.int64), tags)
    mentions = (
        Mention(int(end[first] - length[first]), int(end[last]), tags.names[label])
        for first, last, label in spans.rows().tolist()
    )
    return GoldDocument(doc_id, " ".join(sentence.words), tuple(mentions), {})


def read_sentences(path: str | Path, ids: str | Path | None = None) -> list[TaggedSentence]:
    """Read a corpus: CRAFT as released, a standoff corpus, an IOB file, or a folder of IOB files (`*.tsv`).

    A standoff corpus is a folder of brat, or a file named .pubtator, .json or .xml (BioC), or .jsonl.

    Raises SettingsError if it is none of these.
    """
    place = Path(path)
    if place.is_dir() and texts_of(place) is not None:
        return to_sentences(read_craft(place, ids))
    if ids is not None:
        raise SettingsError(f"a list of articles goes with a folder of CRAFT, and {path} is none")
    if (documents := read_standoff(place)) is not None:
        sentences = to_sentences(documents)
        tags = iter(canonical_tags([tag for sentence in sentences for tag in sentence.tags]))
        return [TaggedSentence(sentence.words, list(islice(tags, len(sentence.words)))) for sentence in sentences]
    if not place.is_dir():
        return read_iob(place)
    if files := sorted(place.glob("*.tsv")):
        return [sentence for file in files for sentence in read_iob(file)]
    return to_sentences(read_craft(place))
