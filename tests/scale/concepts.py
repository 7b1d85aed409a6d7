"""Lexicons of many names, and ids for many mentions."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.bench.measure import in_turn, timed
from craft_ray.concepts.build import LexiconBuilder
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.loading import all_prefixes, load_grounder
from craft_ray.concepts.scores import scores_from_counts
from craft_ray.concepts.terms import Term
from craft_ray.core.descriptions import CRAFT_PREFIXES
from craft_ray.core.settings import Settings
from craft_ray.model.decode import Decoder
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Shard
from tests.scale.harness import scenario
from tests.support.outputs import STORAGE

SYLLABLES = [first + vowel + last for first in "bdfgklmnprst" for vowel in "aeiou" for last in ("", "n", "x")]

PER_DOCUMENT = 150
"""Mentions of a document."""


def words(chance: random.Random) -> str:
    return " ".join("".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(chance.randint(1, 4)))


@scenario
def lexicon(folder: Path, names: int = 5_500_000, mentions: int = 1_000_000) -> Iterator[dict[str, Any]]:
    """Compiling a lexicon of made-up names, three per term, and ids for mentions of them, in CPU seconds."""
    chance, prefixes = random.Random(20261126), all_prefixes(CRAFT_PREFIXES)
    builder, some, seconds = LexiconBuilder(prefixes), list[str](), 0.0
    for first in range(0, names // 3, 10_000):
        terms = [_term(number, prefixes, chance) for number in range(first, min(first + 10_000, names // 3))]
        some += [str(term.name) for term in terms[::20]]
        seconds += timed(lambda terms=terms: [builder.add_term(term) for term in terms], time.process_time)  # type: ignore[misc]
    began = time.process_time()
    built = builder.lexicon()
    seconds += time.process_time() - began
    per_name = (built.key, built.folded, built.exact, built.tier, built.concept)
    others = (built.ontology, built.prior, built.taxon, built.parent_start, built.parent, built.ids, built.names)
    yield {
        "names": len(built.key),
        "compile_cpu_seconds": round(seconds, 1),
        "bytes_per_name": sum(array.nbytes for array in per_name) / len(built.key),
        "lexicon_mb": round(sum(array.nbytes for array in (*per_name, *others)) / 1e6),
    }
    grounder = Grounder(built, scores_from_counts(built.prefixes, {}), CRAFT_PREFIXES)
    rows = pa.table(
        {
            "label": chance.choices(list(CRAFT_PREFIXES), k=mentions),
            "mention": chance.choices(some, k=mentions),
            "row": np.arange(mentions) // PER_DOCUMENT,
            "start": np.arange(mentions) % PER_DOCUMENT,
        }
    )
    began = time.process_time()
    found = grounder.add_concepts(rows, [None] * (mentions // PER_DOCUMENT + 1))
    with_id = round(1 - found["concept_id"].null_count / mentions, 3)
    yield {"mentions": mentions, "cpu_seconds": round(time.process_time() - began, 1), "with_id": with_id}


def _term(number: int, prefixes: tuple[str, ...], chance: random.Random) -> Term:
    prefix = prefixes[number % len(prefixes)]
    parents = (f"{prefix}:{number // 12 * 6 + number % 6}",) if number > 12 else ()
    synonyms = tuple((f"{words(chance)} {number}", "EXACT") for _ in range(2))
    return Term(f"{prefix}:{number}", f"{words(chance)} {number}", None, synonyms, parents)


@scenario
def ids(folder: Path, texts: tuple[Path, ...], model: str = "craft", turns: int = 3) -> Iterator[dict[str, Any]]:
    """The share of ids in annotating plain texts: CPU seconds with and without them, in turn, in one process.

    With the stand-in as the model most mentions are words that no name fits, which cost most.
    """
    settings, checkpoint = Settings(), load_checkpoint(model)
    grounder = load_grounder(settings, STORAGE, checkpoint.tags.names, checkpoint.rescoring, checkpoint.descriptions)
    preprocessor, prepared = Preprocessor(ReadTask.of(checkpoint)), Model(prepare_model(checkpoint))
    file = folder / "texts.jsonl"
    lines = [json.dumps({"id": text.stem, "text": text.read_text(encoding="utf-8")}) for text in texts]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    without = WriteTask(STORAGE, str(folder), "run", Decoder.of(checkpoint))
    tokens = mentions = 0

    def annotate(task: WriteTask) -> None:
        nonlocal tokens, mentions
        with file.open("rb") as stream:
            blocks = [block for block in preprocessor.prepare(stream, Shard(file.name, 0, number=0)) if block.num_rows]
        written = [write_block(predict_block(block, prepared), task) for block in blocks]
        tokens = sum(block.tokens for block in written)
        mentions = sum(sum(block.labels.values()) for block in written)

    tasks = {"without_ids": without, "with_ids": replace(without, grounder=grounder)}
    runs = {name: partial(timed, partial(annotate, task), time.process_time) for name, task in tasks.items()}
    seconds = {name: round(median(values), 3) for name, values in in_turn(runs, turns).items()}
    yield {"tokens": tokens, "mentions": mentions} | seconds
