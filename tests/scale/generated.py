"""Generated inputs: words, citations as files and as rows of tables, and tables of mentions."""

import json
import random
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from craft_ray.core.labels import LABELS
from craft_ray.core.schema import DOCUMENTS, ENTITIES
from craft_ray.tables import identity
from craft_ray.tables.blocks import WrittenBlock, partitions, write_file
from craft_ray.tables.ledger import entries
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, append, filled

FIRST = 10_000_000
"""Number of the first citation."""

RUN = "20260101T000000-00000000"
"""Id of the run that all rows are from."""

BLOCK, BLOCKS_PER_COMMIT = 1_000, 50
"""Citations of a block, and blocks that one commit of a first run adds."""

LARGE_BLOCK = 400_000
"""Citations of a file that is too large to be compacted when a run ends."""

ENTITIES_EACH = 10
"""Entities of a citation."""


@cache
def vocabulary() -> np.ndarray:
    """Words, the frequent ones first."""
    letters = np.random.default_rng(0).integers(ord("a"), ord("z") + 1, (30_000, 7)).astype(np.uint8)
    return np.array([word.tobytes().decode()[: 3 + i % 5] for i, word in enumerate(letters)])


@cache
def texts() -> np.ndarray:
    """20,000 texts of 200 words. Frequencies fall as in language, so that they compress like abstracts."""
    indices = np.random.default_rng(1).zipf(1.3, (20_000, 200)) % len(vocabulary())
    return np.array([" ".join(words) for words in vocabulary()[indices]], object)


def write_jsonl(folder: Path, numbers: Iterable[int], shards: int, prefix: str = "") -> Path:
    """Write citations of 200 words to JSON lines, each with a text of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard, part in enumerate(np.array_split(np.fromiter(numbers, np.int64), shards)):
        lines = (json.dumps({"id": f"PMID:{n}", "text": f"{texts()[n % len(texts())]} {n}."}) for n in part.tolist())
        (folder / f"{prefix}{shard:06}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def citation_block(tables: Tables, numbers: np.ndarray, shard: int, *, with_text: bool = True) -> WrittenBlock:
    """Files of a block of citations, as a write task leaves them; those without a text have no entities either."""
    chance, rows = np.random.default_rng(shard), len(numbers)
    doc_ids = np.char.add("PMID:", numbers.astype(str))
    keys = np.array([identity.key(doc_id, str(shard), "") for doc_id in doc_ids.tolist()], np.int64)
    version = np.ones(rows, np.int32)
    document = {
        "doc_id": doc_ids,
        "version": version,
        "key": keys,
        "shard": f"pubmed26n{shard:05}.xml.gz",
        "status": "annotated",
        "run_id": RUN,
    } | ({"text": pa.array(chance.choice(texts(), rows), pa.string())} if with_text else {})
    mentions = rows * ENTITIES_EACH if with_text else 0
    start = chance.integers(0, 900, mentions).astype(np.int32)
    entity = {
        "doc_id": np.repeat(doc_ids, ENTITIES_EACH)[:mentions],
        "start": start,
        "end": start + 5,
        "label": np.array(["Chemical", "Protein", "Taxon"])[chance.integers(0, 3, mentions)],
        "mention": vocabulary()[chance.zipf(1.3, mentions) % len(vocabulary())],
        "score": chance.random(mentions).astype(np.float32),
        "run_id": RUN,
    }
    parts = partitions(filled(entity, ENTITIES, mentions), ["label"]) if mentions else []
    shards = np.full(rows, shard, np.int32)
    revisions = identity.revisions(version, shards, np.zeros(rows, np.bool_))
    return WrittenBlock(
        str(shard),
        [write_file(filled(document, DOCUMENTS, rows), STORAGE, tables.path("documents"), RUN)],
        [write_file(part, STORAGE, tables.path("entities"), RUN, where) for where, part in parts],
        entries(tables.ids.hashes(doc_ids.tolist()), keys, revisions, np.zeros(rows, np.bool_)),
        shards,
        ["annotated"] * rows,
        [None] * rows,
        0,
        [],
    )


def first_run(output: Path, citations: int) -> tuple[Tables, np.ndarray]:
    """An output as a first run leaves it, blocks in no order. Returns its tables and the numbers of the citations."""
    tables = Tables(STORAGE, str(output), RUN)
    numbers = np.arange(FIRST, FIRST + citations)
    order = np.random.default_rng(2).permutation(range(0, citations, BLOCK))
    for starts in np.split(order, range(BLOCKS_PER_COMMIT, len(order), BLOCKS_PER_COMMIT)):
        tables.append([citation_block(tables, numbers[i : i + BLOCK], i // BLOCK) for i in starts])
    return tables, numbers


def large_output(output: Path, citations: int) -> None:
    """An output with many citations, in large files without texts and entities."""
    tables = Tables(STORAGE, str(output), RUN)
    for shard, first in enumerate(range(0, citations, LARGE_BLOCK)):
        numbers = np.arange(FIRST + first, FIRST + min(first + LARGE_BLOCK, citations))
        tables.append([citation_block(tables, numbers, shard, with_text=False)])


PART, EACH = 1_000_000, 25
"""Entities that are written together, and entities of a document."""

TEXTS = 4_000
"""Different texts of a part, which its documents repeat."""

RARE = 0.1
"""Share of the mentions that occur in one text alone."""

SECTIONS = ("title", "abstract", "abstract/METHODS", "body/Introduction", "body/Results/Mice", "captions")


def _texts_with_mentions(seed: int) -> tuple[list[str], pa.Table]:
    """Texts of EACH mentions, and the entities in them, text by text."""
    chance = random.Random(seed)
    written, rows = [], []
    for _ in range(TEXTS):
        text = ""
        for number in range(EACH):
            label = chance.choice(LABELS).name
            rare = chance.random() < RARE
            stem = f"x{chance.getrandbits(24):x}" if rare else min(int(chance.paretovariate(0.7)), 2000)
            mention = chance.choice(["{}{}", "{}-{}", "{} {}"]).format(label.lower(), stem)
            end = len(text) + len(mention)
            rows.append(
                {
                    "section": SECTIONS[number * len(SECTIONS) // EACH],
                    "start": len(text),
                    "end": end,
                    "sentence_start": len(text),
                    "sentence_end": end + 25,
                    "label": label,
                    "mention": mention,
                    "score": chance.betavariate(6, 1.5),
                }
            )
            text += f"{mention} was found in the tissue. "
        written.append(text.rstrip())
    return written, pa.Table.from_pylist(rows)


def mention_tables(number: int) -> tuple[pa.Table, pa.Table]:
    """Rows of `documents` and of `entities`, of one part."""
    documents = PART // EACH
    written, entities = _texts_with_mentions(number)
    which = np.arange(documents) % TEXTS
    ids = pa.array([f"PMID:{FIRST + number * documents + i}" for i in range(documents)])
    ends = [[{"name": "text", "start": 0, "end": len(text)}] for text in written]
    origin = {"run_id": RUN, "block_id": f"{number:032x}"}
    about = {
        "doc_id": ids,
        "version": np.ones(documents, np.int32),
        "shard": pa.repeat(f"/synthetic/{number:06}.xml.gz", documents),
        "status": pa.repeat("annotated", documents),
        "n_entities": np.full(documents, EACH, np.int32),
        "n_tokens": np.full(documents, 8 * EACH, np.int32),
        "year": 1980 + (np.arange(documents) * 7 + number) % 46,
        "text": pa.array(written).take(which),
        "sections": pa.array(ends, DOCUMENTS.field("sections").type).take(which),
    }
    found = entities.take((which[:, None] * EACH + np.arange(EACH)).ravel())
    columns = {name: found[name] for name in found.column_names}
    columns["doc_id"] = ids.take(np.repeat(np.arange(documents), EACH))
    return filled(about | origin, DOCUMENTS, documents), filled(columns | origin, ENTITIES, PART)


def append_mentions(output: Path, parts: range) -> None:
    """Append parts of a million entities to the tables of an output."""
    tables = Tables(STORAGE, str(output))
    for number in parts:
        append(tables, STORAGE, *mention_tables(number))
