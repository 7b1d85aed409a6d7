"""CRAFT as it is released: articles with standoff mentions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from lxml import etree

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import LABELS
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tags import Mention, tag_words
from craft_ray.model.windows import word_splitter
from craft_ray.training.corpora import TaggedSentence, read_gold

_STANDOFF = {"Gene": "GO_CC", **{label.name: label.ontology for label in LABELS if label.name != "Gene"}}
"""The folder in which CRAFT keeps each label's mentions; of GO, the label holds cellular components alone."""


@dataclass(frozen=True, slots=True)
class GoldConcept:
    """A gold mention with its class: the pieces in which it stands, and a CURIE."""

    pieces: tuple[tuple[int, int], ...]
    label: str
    concept_id: str

    def said(self, text: str) -> str:
        """The mention's words in its document's text, those of several pieces with a blank between them."""
        return " ".join(text[start:end] for start, end in self.pieces)


@dataclass(frozen=True, slots=True)
class GoldDocument:
    """A text with its mentions; `discontinuous` counts those in several pieces, by label, which are left out.

    `concepts` are all mentions with their classes, those in several pieces too.
    """

    doc_id: str
    text: str
    mentions: tuple[Mention, ...]
    discontinuous: dict[str, int]
    concepts: tuple[GoldConcept, ...] = ()


def read_craft(folder: str | Path, ids: str | Path | None = None) -> list[GoldDocument]:
    """Read the CRAFT corpus in its native form: plain text and Knowtator XML, offsets in code points.

    folder: a copy of https://github.com/UCDenver-ccp/CRAFT (`articles/txt`, `concept-annotation/PR/PR/knowtator`), or
            its parts as `txt` and `standoff/PR`
    ids:    file of the articles to read, one PubMed id per line; None for all

    Raises SettingsError if the folder is no such corpus, or an article or its mentions are missing.
    """
    folder = Path(folder)
    if (texts := texts_of(folder)) is None:
        raise SettingsError(f"{folder} is no CRAFT corpus: it has neither articles/txt nor txt")
    names = read_gold(Path(ids), "the list of articles").split() if ids else sorted(p.stem for p in texts.glob("*.txt"))
    if not names:
        raise SettingsError(f"there are no articles in {ids or texts}")
    return [_craft_document(folder, texts, name) for name in names]


def texts_of(folder: Path) -> Path | None:
    """The folder of a CRAFT corpus's texts; None if it is no such corpus."""
    return next((place for place in (folder / "articles" / "txt", folder / "txt") if place.is_dir()), None)


def _craft_document(folder: Path, texts: Path, name: str) -> GoldDocument:
    text = read_gold(texts / f"{name}.txt", "the article")
    mentions: set[Mention] = set()
    concepts: list[GoldConcept] = []
    discontinuous = {}
    for label, part in _STANDOFF.items():
        places = (
            folder / "concept-annotation" / part / part / "knowtator" / f"{name}.txt.knowtator.xml",
            folder / "standoff" / part / f"{name}.xml",
        )
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            raise SettingsError(f"the article {name} has no {part} mentions in {folder}")
        annotations = _knowtator_annotations(file)
        spans = [pieces for pieces, _ in annotations]
        concepts += [GoldConcept(pieces, label, concept_id) for pieces, concept_id in annotations if concept_id]
        found = {Mention(*pieces[0], label) for pieces in spans if len(pieces) == 1}
        if bad := next((m for m in found if not 0 <= m.start < m.end <= len(text)), None):
            raise SettingsError(f"{file} has a mention at {bad.start}-{bad.end}, outside the article's text")
        mentions |= found
        discontinuous[label] = sum(len(pieces) > 1 for pieces in spans)
    in_order = tuple(sorted(mentions, key=lambda m: (m.start, m.end, m.label)))
    return GoldDocument(name, text, in_order, discontinuous, tuple(concepts))


def _knowtator_annotations(file: Path) -> list[tuple[tuple[tuple[int, int], ...], str | None]]:
    """The pieces of each mention of a Knowtator file, and its class where it has one."""
    try:
        root = etree.parse(file, etree.XMLParser(resolve_entities=False, no_network=True)).getroot()
        classes = {
            mention.get("id"): found.get("id")
            for mention in root.iterfind("classMention")
            if (found := mention.find("mentionClass")) is not None
        }
        return [
            (
                tuple((int(span.attrib["start"]), int(span.attrib["end"])) for span in annotation.iterfind("span")),
                classes.get(mention.get("id")) if (mention := annotation.find("mention")) is not None else None,
            )
            for annotation in root.iterfind("annotation")
        ]
    except (etree.XMLSyntaxError, KeyError, ValueError) as error:
        raise SettingsError(f"{file} is not Knowtator XML: {error}") from error


def to_sentences(documents: Sequence[GoldDocument]) -> list[TaggedSentence]:
    """Documents as tagged sentences, split into sentences, and into words at blanks, punctuation and symbols."""
    splitter = word_splitter()
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
