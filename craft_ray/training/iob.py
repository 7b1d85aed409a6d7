"""Read corpora in IOB form: a word and its tag per line. The words of a sentence are joined by blanks."""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import as_iob2, canonical_tags, label_of
from craft_ray.model.tags import DOCSTART, Mention
from craft_ray.training.corpora import Sentence
from craft_ray.training.files import read_text

KNOWN_FORMS = "a corpus is IOB (a word and its tag per line), PubTator, BioC, JSON lines, or a folder of brat or CRAFT"


MIN_TAGGED = 0.1
"""Share of `O`, `B-` and `I-` among the tags of a corpus. A file of other columns has fewer."""


def read_iob(path: str | Path) -> list[Sentence]:
    """Read lines of a word, any other columns and a tag, with a blank line between sentences.

    Columns are separated by tabs, or by blanks if the file has no tab. Tags may be IOB, IOB2, BIOES or BILOU, and the
    file gzip (`.gz`). `-DOCSTART-` lines are skipped.

    Raises SettingsError if the file is missing, has no sentence, or a line has fewer than two columns.
    """
    text = read_text(Path(path), "the corpus")
    separator = "\t" if "\t" in text else None
    sentences: list[list[list[str]]] = []
    for block in re.split(r"\n[ \t]*\n", text):
        rows = [line.split(separator) for line in block.split("\n") if line.strip()]
        rows = [row for row in rows if row[0] != DOCSTART]
        if bad := next((row for row in rows if len(row) < 2), None):
            raise SettingsError(f"{path} is not in IOB form: the line {bad[0][:60]!r} has no tag; {KNOWN_FORMS}")
        if rows:
            sentences.append(rows)
    if not sentences:
        raise SettingsError(f"{path} has no sentences")
    try:
        return tagged_sentences([([row[0] for row in rows], [row[-1] for row in rows]) for rows in sentences])
    except ValueError as error:
        raise SettingsError(f"{path} is not in IOB form: {error}; {KNOWN_FORMS}") from error


def tagged_sentences(sentences: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[Sentence]:
    """Sentences of words and their tags, in any scheme.

    Raises ValueError if a sentence has not as many tags as words, or few tags are `O` or begin with `B-` or `I-`.
    """
    if bad := next((words for words, tags in sentences if len(words) != len(tags)), None):
        raise ValueError(f"not every word of {' '.join(bad)[:60]!r} has a tag")
    given = as_iob2([tag for _, tags in sentences for tag in tags])
    if sum(tag == "O" or tag[:2] in ("B-", "I-") for tag in given) < MIN_TAGGED * len(given):
        raise ValueError("hardly a word has the tag O, B-... or I-...")
    tags = iter(canonical_tags(given))
    return [_sentence(words, list(islice(tags, len(words)))) for words, _ in sentences]


def _sentence(words: Sequence[str], tags: Sequence[str]) -> Sentence:
    length = np.array([len(word) for word in words])
    end = np.cumsum(length + 1) - 1
    mentions = (
        Mention(int(end[first] - length[first]), int(end[stop - 1]), label)
        for first, stop, label in mention_spans(tags)
    )
    return Sentence(" ".join(words), tuple(mentions))


def mention_spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """First word, end (exclusive) and label of each mention of a sentence, as `seqeval` finds them.

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
