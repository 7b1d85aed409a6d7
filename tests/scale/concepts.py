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
from craft_ray.core.labels import ONTOLOGY
from craft_ray.core.schema import DOCUMENTS, ENTITIES
from craft_ray.core.settings import Settings
from craft_ray.model.decode import Decoder
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Shard
from craft_ray.tables.writer import Tables
from tests.scale.harness import command, scenario
from tests.support.outputs import STORAGE, append, filled

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
def ground(folder: Path, entities: int = 1_000_000, per_commit: int = 300_000) -> Iterator[dict[str, Any]]:
    """`ground` over entities of which seven in eight have names of the lexicon that ships, twice."""
    chance, tables = np.random.default_rng(20261127), Tables(STORAGE, str(folder / "out"))
    names = _names(chance)
    for first in range(0, entities, per_commit):
        count = min(per_commit, entities - first)
        labels, mentions = zip(*(names[n] for n in chance.zipf(1.3, count) % len(names)), strict=True)
        texts = [" ".join(mentions[n : n + PER_DOCUMENT]) for n in range(0, count, PER_DOCUMENT)]
        ids = pa.array([f"PMID:{n:08}" for n in first // PER_DOCUMENT + np.arange(count) // PER_DOCUMENT])
        number = np.arange(count, dtype=np.int32)
        found = {"doc_id": ids, "label": labels, "mention": mentions, "start": number, "end": number}
        about = {"doc_id": ids.unique(), "status": "annotated", "text": texts}
        append(tables, STORAGE, filled(about, DOCUMENTS, len(texts)), filled(found, ENTITIES, count))
    for turn in ("first", "again"):
        summary, used = command("ground", folder / "out")
        yield {"turn": turn, "status": summary["status"], "entities": summary["entities"]} | used


def _names(chance: np.random.Generator) -> list[tuple[str, str]]:
    """Labels and names; of eight, seven are in the lexicon that ships."""
    grounder, unknown = load_grounder(Settings(), STORAGE), random.Random(20261127)
    assert grounder is not None
    lexicon = grounder.lexicon
    label_of = {prefix: label for label, prefix in ONTOLOGY.items()}
    chosen = chance.choice(len(lexicon.ids), 20_000)
    names = [(label_of[lexicon.prefixes[lexicon.ontology[n]]], lexicon.names[n].as_py() or "cell") for n in chosen]
    return names + [(label, words(unknown)) for label in ONTOLOGY for _ in range(len(chosen) // 8 // len(ONTOLOGY))]


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
