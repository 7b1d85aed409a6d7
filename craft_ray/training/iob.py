"""Read corpora in IOB form: a word and its tag per line."""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import canonical_tags
from craft_ray.model.tags import DOCSTART
from craft_ray.training.corpora import TaggedSentence
from craft_ray.training.files import read_text

_IOB2 = {"S": "B", "U": "B", "E": "I", "L": "I"}
"""Prefixes of BIOES and BILOU that IOB2 lacks."""


def read_iob(path: str | Path) -> list[TaggedSentence]:
    """Read lines of a word, any other columns and a tag, with a blank line between sentences.

    Columns are separated by tabs, or by blanks if the file has no tab. Tags may be IOB, IOB2, BIOES or BILOU, and the
    file gzip (`.gz`). `-DOCSTART-` lines are skipped.

    Raises SettingsError if the file is missing, has no sentence, or a line has fewer than two columns.
    """
    text = read_text(Path(path), "the corpus")
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
        raise SettingsError(f"{path} has no sentences")
    tags = iter(canonical_tags(as_iob2([tag for sentence in sentences for tag in sentence.tags])))
    return [TaggedSentence(sentence.words, list(islice(tags, len(sentence.words)))) for sentence in sentences]


def as_iob2(tags: Sequence[str]) -> list[str]:
    """Convert BIOES and BILOU tags. IOB tags stay: `mention_spans` finds the same mentions in them.

    >>> as_iob2(["S-Gene", "O", "B-Cell", "E-Cell"])
    ['B-Gene', 'O', 'B-Cell', 'I-Cell']
    """
    return [f"{_IOB2[tag[0]]}-{tag[2:]}" if tag[1:2] == "-" and tag[0] in _IOB2 else tag for tag in tags]
