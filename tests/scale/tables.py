"""Tables of many citations and of many shards, in one process and without a model."""

import math
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.annotation.catalogue.catalogue import Catalogue
from craft_ray.annotation.catalogue.existing import read_existing
from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.annotation.plan import Attempt, group_shards, plan_reading, shard_signature
from craft_ray.core.schema import SHARDS
from craft_ray.core.settings import Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.file_list import read_file_list
from craft_ray.storage.listing import list_shards
from craft_ray.storage.shards import Shards, pack_shards
from craft_ray.tables.ledger import Ledger, Part, entries
from craft_ray.tables.writer import Tables
from tests.scale.generated import RUN, large_output
from tests.scale.harness import in_new_process, scenario
from tests.support.outputs import STORAGE, filled


@scenario
def ledger(
    folder: Path,
    documents: tuple[int, ...] = (2_000_000, 5_000_000, 10_000_000),
    entries_known: tuple[int, ...] = (300_000, 3_000_000, 20_000_000),
) -> Iterator[dict[str, Any]]:
    """Reading what `documents` holds, and looking documents up in the ledger."""
    measured = []
    for count in documents:
        large_output(folder / str(count), count)
        measured.append(in_new_process(_read_existing, str(folder / str(count))))
        yield {"documents": count} | measured[-1]
    for (small, before), (large, after) in pairwise(zip(documents, measured, strict=True)):
        yield {"bytes_per_document": round((after["peak_mb"] - before["peak_mb"]) * 1e6 / (large - small), 1)}
    for known in entries_known:
        chance = np.random.default_rng(0)
        ids = np.sort(chance.integers(-(1 << 62), 1 << 62, known))
        filled_ledger = Ledger([Part(ids, ids, ids, np.zeros(known, np.int8))])
        blocks = [entries(some, some, some, some == 0) for some in chance.integers(-(1 << 62), 1 << 62, (200, 100))]
        clock = [time.process_time()]
        for step in (filled_ledger.outcomes, filled_ledger.update):
            for block in blocks:
                step(block)
            clock.append(time.process_time())
        looked_up, entered = np.diff(clock) / 20_000 * 1000
        yield {"entries": known, "ms_to_look_up": round(looked_up, 5), "ms_to_enter": round(entered, 5)}


def _read_existing(output: str) -> None:
    read_existing(Tables(STORAGE, output), Shards.from_shards([]), SHARDS.empty_table())


NEW = 100
"""One in so many files is new."""


@scenario
def shards(folder: Path, shards: tuple[int, ...] = (200_000, 1_000_000)) -> Iterator[dict[str, Any]]:
    """Listing files and planning a run: with nothing new, with one file in a hundred new, and with all new."""
    for count in shards:
        home = folder / str(count)
        home.mkdir()
        _make_shards(home, count)
        for step, expected in {
            "list": None,
            "nothing_new": 0,
            "some_new": math.ceil(count / NEW),
            "first": count,
        }.items():
            used = in_new_process(_plan, step, str(home), expected)
            yield {"shards": count, "step": step, "bytes_per_shard": round(used["peak_mb"] * 1e6 / count)} | used


def _make_shards(folder: Path, count: int) -> None:
    """A list of files, an output that has read them, and another list in which some are new."""
    numbers = pa.array(np.arange(count))
    names = pc.binary_join_element_wise("s3://pmc-oa-opendata/xml/all/PMC", numbers.cast(pa.string()), ".xml", "")
    tags = pa.array([np.random.default_rng(n).bytes(16).hex() for n in range(count)])
    sizes = np.random.default_rng(0).integers(20_000, 200_000, count)
    others = pc.if_else(pa.array(np.arange(count) % NEW == 0), pc.binary_join_element_wise(names, "gz", "."), names)
    for listed, step in ((names, "nothing_new"), (others, "some_new")):
        lines = pc.binary_join_element_wise(listed, pa.array(sizes).cast(pa.string()), tags, "\t")
        (folder / f"{step}.tsv").write_text("\n".join(lines.to_pylist()) + "\n")
    zeros, ones = np.zeros(count, np.int64), np.ones(count, np.int64)
    columns = {
        "shard": names,
        "size": sizes,
        "tag": tags,
        "signature": shard_signature(load_checkpoint("stand-in"), Settings()),
        "found": ones,
        "emitted": ones,
        "unchanged": zeros,
        "superseded": zeros,
        "duplicates": pa.array([[]] * count, SHARDS.field("duplicates").type),
        "run_id": RUN,
        "named": names,
    }
    Tables(STORAGE, str(folder / "out")).record_finished(filled(columns, SHARDS, count))


def _plan(step: str, folder: str, expected: int | None) -> None:
    output = str(Path(folder, "first" if step == "first" else "out"))
    file_list = Path(folder, "some_new.tsv" if step == "some_new" else "nothing_new.tsv")
    listing = list_shards(STORAGE, [], lambda name: True, output, read_file_list(STORAGE, str(file_list)))
    if expected is None:
        return
    tables = Tables(STORAGE, output)
    signature = shard_signature(load_checkpoint("stand-in"), Settings())
    found = plan_reading(Catalogue(tables, listing), signature, prune=False, limit=None).shards
    assert len(found) == expected
    del listing  # as a run does
    for group in group_shards(found, make_plan(Settings(), [{"CPU": 16}]), Attempt.FIRST):
        pack_shards(group)
    tables.finish(compact=True)
