"""Citations without content, as a write task leaves them: for measuring tables at sizes that no model need see."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa

from craft_ray.core.schema import DOCUMENTS, ENTITIES
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import WrittenBlock, partitions, write_file
from craft_ray.tables.ledger import entries
from craft_ray.tables.writer import Tables
from tests.support.outputs import filled

LABELS = ("Chemical", "Protein", "Taxon")
BLOCK = 1_000
"""Citations of a block."""
GROUP = 50
"""Blocks that one commit of a first run brings."""
ENTITIES_EACH = 10

PUBMED = ((0.015, 25 / 27), (0.06, 1 / 27), (1.0, 1 / 27))
"""Where 27 revised citations of an update file of January 2026 stood: among what share of the newest, and how many."""


@cache
def vocabulary() -> np.ndarray:
    """Words, the frequent ones first."""
    letters = np.random.default_rng(0).integers(ord("a"), ord("z") + 1, (30_000, 7)).astype(np.uint8)
    return np.array([word.tobytes().decode()[: 3 + place % 5] for place, word in enumerate(letters)])


@cache
def texts() -> np.ndarray:
    """20,000 texts of 200 words; frequencies fall as in language, so that they pack as abstracts do."""
    places = np.random.default_rng(1).zipf(1.3, (20_000, 200)) % len(vocabulary())
    return np.array([" ".join(words) for words in vocabulary()[places]], object)


def written(
    tables: Tables, storage: Storage, numbers: np.ndarray, shard: int, run_id: str, status: str = "annotated"
) -> WrittenBlock:
    """A block of citations with ten entities each; a deleted one has neither text nor entities."""
    chance = np.random.default_rng(shard)
    rows = len(numbers)
    doc_ids = np.char.add("PMID:", numbers.astype(str))
    keys = numbers * 10_000 + shard
    deleted = status == "deleted"
    document = {
        "doc_id": doc_ids,
        "version": np.ones(rows, np.int32),
        "key": keys,
        "shard": f"pubmed26n{shard:05}.xml.gz",
        "status": status,
        "run_id": run_id,
    } | ({} if deleted else {"text": pa.array(chance.choice(texts(), rows), pa.string())})
    mentions = 0 if deleted else rows * ENTITIES_EACH
    start = chance.integers(0, 900, mentions).astype(np.int32)
    entity = {
        "doc_id": np.repeat(doc_ids, ENTITIES_EACH)[:mentions],
        "start": start,
        "end": start + 5,
        "label": np.array(LABELS)[chance.integers(0, len(LABELS), mentions)],
        "mention": vocabulary()[chance.zipf(1.3, mentions) % len(vocabulary())],
        "score": chance.random(mentions).astype(np.float32),
        "run_id": run_id,
    }
    found = filled(entity, ENTITIES, mentions)
    return WrittenBlock(
        str(shard),
        [write_file(filled(document, DOCUMENTS, rows), storage, tables.path("documents"), run_id)],
        [
            write_file(part, storage, tables.path("entities"), run_id, where)
            for where, part in partitions(found, ["label"])
        ],
        entries(
            tables.ids.hashes(doc_ids.tolist()),
            keys,
            identity.revisions(np.ones(rows, np.int32), np.full(rows, shard), np.zeros(rows, np.bool_)),
            np.full(rows, deleted),
        ),
        np.full(rows, shard, np.int32),
        [status] * rows,
        [None] * rows,
        0,
        [],
    )


def all_written(
    tables: Tables, storage: Storage, numbers: np.ndarray, shard: int, run_id: str, status: str = "annotated"
) -> Sequence[WrittenBlock]:
    """Blocks of so many citations, in order of their numbers."""
    parts = np.split(numbers, range(BLOCK, len(numbers), BLOCK))
    return [written(tables, storage, part, shard + place, run_id, status) for place, part in enumerate(parts)]


def first_run(tables: Tables, storage: Storage, numbers: np.ndarray) -> None:
    """Commit citations as a first run does, its blocks coming in no order."""
    order = np.random.default_rng(2).permutation(range(0, len(numbers), BLOCK))
    for part in np.split(order, range(GROUP, len(order), GROUP)):
        tables.append([written(tables, storage, numbers[at : at + BLOCK], at // BLOCK, "first") for at in part])


def where_pubmed_revises(numbers: np.ndarray, revised: int) -> np.ndarray:
    """So many numbers, spread over the newest as PubMed's revisions are."""
    chance = np.random.default_rng(3)
    chosen = np.array([], numbers.dtype)
    for newest, share in PUBMED:
        among = np.setdiff1d(numbers[-round(newest * len(numbers)) :], chosen)
        chosen = np.append(chosen, chance.choice(among, round(share * revised), replace=False))
    return np.sort(chosen)
