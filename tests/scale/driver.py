"""The driver alone: scheduling, account, ledger and commits of runs whose blocks are made beforehand."""

import json
import os
import time
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import pyarrow as pa

from cluster.local.cluster import running_cluster
from craft_ray.annotation import pipeline
from craft_ray.annotation.account import Account
from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.run import annotate
from craft_ray.core.settings import Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Shard
from tests.scale import made
from tests.scale.generated import texts
from tests.scale.harness import in_new_process, scenario

PER_SHARD, WORDS = 500, 130
"""Documents of a shard, and words of a document: 10 kB of text and tokens, as a citation with its abstract takes."""


CPUS = 8
"""Cores of a node, by what it tells Ray."""


@scenario
def driver(
    folder: Path,
    blocks: int = 200,
    block_mb: tuple[float, ...] = (2, 8, 32),
    replicas: tuple[int, ...] = (1, 8, 60),
    nodes: int = 3,
    object_store_mb: int = 1000,
    seconds_per_mb: float = 0,
) -> Iterator[dict[str, Any]]:
    """CPU time of the driver per abstract, without its start, on a local cluster whose stages have nothing to do.

    seconds_per_mb: of a replica, which waits as for a GPU; it is `busy` for a share of the time
    """
    lines = (json.dumps({"id": n, "text": " ".join(texts()[n].split()[:WORDS])}) for n in range(PER_SHARD))
    preprocessor = Preprocessor(ReadTask.of(load_checkpoint("stand-in")))
    rows = pa.concat_tables(preprocessor.prepare(BytesIO("\n".join(lines).encode()), Shard("a.jsonl", 0, number=0)))
    with pa.ipc.new_file(folder / "rows.arrow", rows.schema) as file:
        file.write_table(rows.combine_chunks())
    environment = {"RAY_num_workers_soft_limit": "30", made.SECONDS_PER_MB: str(seconds_per_mb)}
    for count in replicas:
        with (
            running_cluster(environment, nodes, CPUS, object_store_mb) as cluster,
            patch.dict(os.environ, cluster.environment | {"RAY_DATA_DEFAULT_WAIT_FOR_MIN_ACTORS_S": "900"}),
        ):
            for size in block_mb:
                shards = round(blocks * size * (1 << 20) / rows.nbytes)
                packed = rows.nbytes // 8  # as a compressed file, so that a task reads many blocks
                names = (f"{number:07}.jsonl\t{packed}\t1\n" for number in range(shards))
                (folder / "list.tsv").write_text("".join(names))
                options = {"model": "stand-in", "concepts": False, "compact": False}
                settings = Settings(replicas=count, block_mb=size, **options)
                found = in_new_process(_annotate, folder, settings)
                busy = shards * rows.nbytes / (1 << 20) * seconds_per_mb / count / found["seconds"]
                yield {"replicas": count, "block_mb": size} | found | {"busy": round(busy, 3)}


def _annotate(folder: Path, settings: Settings) -> dict[str, Any]:
    samples: list[tuple[int, float, float, int]] = []

    def sample(account: Account) -> None:
        memory = psutil.Process().memory_info().rss
        samples.append((account.tokens, time.process_time(), time.monotonic(), memory))

    path = str(folder / "rows.arrow")
    output = folder / f"out-{settings.replicas}-{settings.block_mb}"
    with (
        patch.object(pipeline, "prepare_shards", partial(made.read, path=path)),
        patch.object(pipeline, "Replica", made.Waiting),
        patch.object(pipeline, "write_blocks", made.write),
    ):
        summary = annotate([], str(output), settings, sample, inputs_from=str(folder / "list.tsv"))
    documents = summary["documents"]["annotated"]
    start = max(one for one in samples if not one[0])
    _, cpu, seconds, growth = np.subtract(samples[-1], start).tolist()
    return {
        "documents": documents,
        "seconds": round(seconds, 1),
        "cpu_us_per_document": round(1e6 * cpu / documents, 1),
        "cpu_share": round(cpu / seconds, 3),
        "growth_mb": round(growth / 1e6),
    }
