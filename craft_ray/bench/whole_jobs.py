"""Whole runs: against Ray Data's pattern, ten times as much, stand-ins, one large file, from nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from craft_ray.annotation.account import Account
from craft_ray.core.errors import RunError
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.windows import tokenize_sentences

SLEEPERS = (1, 2, 4, 8)


Place = tuple[str, int, int]
"""A document's id, and start and end in it."""


@dataclass(slots=True)
class FirstRows:
    """Notes whether rows were committed while shards were still being read."""

    before_the_end: bool = False

    def __call__(self, account: Account) -> None:
        """Look at the account of a run under way."""
        self.before_the_end = self.before_the_end or (account.committed > 0 and account.shards_done == 0)


@dataclass(frozen=True, slots=True)
class Job:
    """The summary of a whole job, and the peak memory of its processes."""

    summary: dict[str, Any]
    memory: dict[str, float]
    rows_before_the_end: bool

    @property
    def running(self) -> float:
        """Seconds of the run, Ray being there already."""
        return float(self.summary["seconds"])

    def report(self) -> dict[str, Any]:
        """What bench.json keeps."""
        names = ("tokens", "seconds", "seconds_to_first_commit", "steady_tokens_per_second")
        documents = self.summary["documents"]["found"]
        kept = {name: self.summary[name] for name in names} | {"documents": documents}
        return kept | self.memory | {"rows_before_the_input_was_read": self.rows_before_the_end}


def same_rows(theirs: Path, ours: Path, too_long: Sequence[Place]) -> dict[str, int]:
    """How many rows both tables hold, the same ones; those in sentences that the pipeline cuts short are counted apart.

    Raises RunError if others differ.
    """
    columns = ["doc_id", "label", "start", "end"]
    rows, apart = [], []
    for path in (theirs, ours):
        table = pq.read_table(path, columns=columns)
        found = set(zip(*(table[name].to_pylist() for name in columns), strict=True))
        cut = {row for row in found if any(row[0] == d and a <= row[2] < b for d, a, b in too_long)}
        rows.append({(row[0], str(row[1]), *row[2:]) for row in found - cut})
        apart.append(len(cut))
    if rows[0] != rows[1]:
        differ = len(rows[0] ^ rows[1])
        raise RunError(f"of {len(rows[0])} rows of Ray Data's pattern and {len(rows[1])} of ours, {differ} differ")
    return {"same": len(rows[0]), "pattern_in_long_sentences": apart[0], "ours_in_long_sentences": apart[1]}


def sentences_too_long(files: Sequence[Path], checkpoint: Checkpoint) -> list[Place]:
    """Sentences that the model does not take at once: the pipeline loses what is beyond, without a word."""
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer)
    places = []
    for file in files:
        for record in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            spans = list(sentence_spans(record["text"]))
            lengths = tokenize_sentences(tokenizer, [record["text"][a:b] for a, b in spans]).sentence_length
            places += [(record["id"], *spans[i]) for i in np.flatnonzero(lengths > checkpoint.max_tokens)]
    return places
