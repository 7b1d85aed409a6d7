"""The cost of many shards before anything is read: `python -m tests.scale.shards --help`.

A list names so many files, as for one article in each, and the table `shards` holds them all. One process reads the
list and then finds out, as a run does, that nothing is new, or that one file in a hundred is. In both cases the tables
are closed as at a run's end. In a first run all files are new. It also makes their tasks, and keeps the account while a
document of each file arrives and is committed.
"""

import argparse
import json
import math
import multiprocessing
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.annotation.account import Account
from craft_ray.annotation.catalogue.file_states import read_finished
from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.annotation.plan import Attempt, group_shards, plan_shards, shard_signature
from craft_ray.annotation.shard_account import ShardAccount
from craft_ray.core.schema import SHARDS
from craft_ray.core.settings import S3Settings, Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.file_list import read_file_list
from craft_ray.storage.listing import list_shards
from craft_ray.storage.shards import Shard, pack_shards, unpack_shards
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.ledger import entries
from craft_ray.tables.writer import Tables
from tests.scale.ledger import peak_above_start
from tests.support.outputs import filled

NEW = 100
"""One file in so many is new."""

NOTED = 10
"""Groups of files after which those that are finished are noted."""

EXPECTED = {"nothing_new": 0, "one_in_a_hundred_new": 1 / NEW, "first": 1}
"""By step, the share of the files that are to be read."""


def _made(folder: Path, shards: int) -> None:
    """A list of files, an output that has read all of them, and another list, of which one in NEW is not among them."""
    numbers = pa.array(np.arange(shards))
    names = pc.binary_join_element_wise(
        "s3://pmc-oa-opendata/oa_comm/xml/all/PMC", numbers.cast(pa.string()), ".xml", ""
    )
    tags = pa.array([np.random.default_rng(n).bytes(16).hex() for n in range(shards)])
    sizes = np.random.default_rng(0).integers(20_000, 200_000, shards)
    others = pc.if_else(pa.array(np.arange(shards) % NEW == 0), pc.binary_join_element_wise(names, "gz", "."), names)
    for listed, step in ((names, "nothing_new"), (others, "one_in_a_hundred_new")):
        lines = pc.binary_join_element_wise(listed, pa.array(sizes).cast(pa.string()), tags, "\t")
        (folder / f"{step}.tsv").write_text("\n".join(lines.to_pylist()) + "\n")
    tables = Tables(Storage(S3Settings()), str(folder / "out"))
    columns = {
        "shard": names,
        "size": sizes,
        "tag": tags,
        "signature": shard_signature(load_checkpoint("stand-in"), Settings()),
        "found": np.ones(shards, np.int64),
        "emitted": np.ones(shards, np.int64),
        "unchanged": np.zeros(shards, np.int64),
        "superseded": np.zeros(shards, np.int64),
        "duplicates": pa.array([[]] * shards, SHARDS.field("duplicates").type),
        "run_id": "20260101T000000-00000000",
        "named": names,
    }
    rows = filled(columns, SHARDS, shards)
    tables.record_finished(rows)


def _step(step: str, folder: str) -> tuple[int, float]:
    """Peak bytes and processor seconds of what a run does before it reads its first file, and at its end."""
    storage, output = Storage(S3Settings()), str(Path(folder, "first" if step == "first" else "out"))
    tables = Tables(storage, output)
    checkpoint = load_checkpoint("stand-in")
    began = time.process_time()
    with peak_above_start() as peak:
        address = str(Path(folder, "nothing_new.tsv" if step in ("list", "first") else f"{step}.tsv"))
        listing = list_shards(storage, [], lambda name: True, output, read_file_list(storage, address))
        if step != "list":
            finished = read_finished(tables, listing, with_duplicates=False)
            account, *_ = plan_shards(tables, finished, listing, checkpoint, Settings(), began)
            assert len(account.shards) == math.ceil(EXPECTED[step] * len(listing))
            del listing, finished  # as a run does
            if step == "first":
                _read_all(account)
            tables.finish(compact=True)
    return peak[0], time.process_time() - began


def _read_all(account: Account) -> None:
    """Lay out the tasks of a first pass, and take in what they give: a document of each file."""
    plan = make_plan(Settings(), [{"CPU": 16}])
    missing = account.arrivals.missing()
    account.arrivals.restart(missing)
    tasks = [pack_shards(group) for group in group_shards(missing, plan, Attempt.FIRST)]
    finished = 0
    for at, task in enumerate(tasks):
        group = unpack_shards(task)
        block = _block(group)
        account.arrived(block)
        account.wrote([block])
        if at % NOTED == 0 or at == len(tasks) - 1:
            finished += len(account.take_finished())
    assert finished == len(account.shards)
    assert account.adds_up()
    account.summary()


def _block(group: list[Shard]) -> WrittenBlock:
    """A block as a run gets it of a group of files with a document in each."""
    numbers = np.array([shard.number for shard in group], np.int32)
    ends = [asdict(replace(ShardAccount.of(shard), found=1, emitted=1)) for shard in group]
    return WrittenBlock(
        block_id="",
        entities=[],
        documents=[],
        entries=entries(numbers, numbers, numbers, numbers < 0),
        shard_number=numbers,
        status=["annotated"] * len(group),
        reason=[None] * len(group),
        tokens=len(group),
        shard_accounts=ends,
        positions={(shard.number, 0): shard.size for shard in group},
    )


def measure(folder: Path, shards: int) -> dict[str, Any]:
    """Each step with what comes before it."""
    _made(folder, shards)
    report: dict[str, Any] = {"shards": shards}
    for step in ("list", *EXPECTED):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            peak, seconds = fresh.submit(_step, step, str(folder)).result()
        report[step] = {
            "peak_mb": round(peak / 1e6),
            "bytes_per_shard": round(peak / shards),
            "cpu_seconds": round(seconds, 1),
        }
    return report


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[200_000, 1_000_000])
    given = parser.parse_args()
    report = []
    for shards in given.shards:
        folder = Path(tempfile.mkdtemp(prefix="craft-ray-scale-"))
        try:
            report.append(measure(folder, shards))
        finally:
            shutil.rmtree(folder)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
