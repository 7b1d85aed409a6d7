"""Whole runs: against Ray Data's pattern, ten times as much, stand-ins, one large file."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from craft_ray.annotation.account import Account
from craft_ray.annotation.run import annotate
from craft_ray.bench.baselines import PIPELINE_BATCHES, annotate_by_ray_data
from craft_ray.bench.inputs import Inputs, write_citations
from craft_ray.bench.measure import Measured
from craft_ray.bench.memory import peak_memory
from craft_ray.bench.model_stage import model_rate
from craft_ray.core.connection import ray_session
from craft_ray.core.errors import RunError
from craft_ray.core.settings import load_settings
from craft_ray.model.checkpoint import Checkpoint, update_config
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.loading import find_model
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.windows import Windower

SLEEPERS = (1, 2, 4, 8)


Place = tuple[str, int, int]
"""A document's id, and start and end in it."""


@dataclass(slots=True)
class FirstRows:
    """Notes whether rows were committed while shards were still being read."""

    before_the_end: bool = False

    def __call__(self, account: Account) -> None:
        """Look at the account of a run under way."""
        self.before_the_end = self.before_the_end or (
            account.committed.documents > 0 and account.arrivals.shards_closed == 0
        )


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
        """The part of a result that bench.json keeps."""
        names = ("tokens", "seconds", "seconds_to_first_commit", "steady_tokens_per_second")
        timeline = self.summary["timeline"]
        kept = {name: self.summary[name] for name in names} | {
            "documents": self.summary["documents"]["found"],
            "seconds_with_the_model": round(timeline["last_commit"] - timeline["model_ready"], 3),
        }
        return kept | self.memory | {"rows_before_the_input_was_read": self.rows_before_the_end}


def whole_job(inputs: Inputs, stage: dict[str, Any]) -> dict[str, Any]:
    """The same files through Ray Data's pattern and through ours, in turn; first the exact mode, row for row."""
    files = inputs.jsonl("rival", inputs.sizes.rival, 4)
    too_long = sentences_too_long(files, inputs.checkpoint)
    folder = inputs.folder / "sentence-model"
    shutil.copytree(find_model(inputs.checkpoint.source), folder)
    update_config(folder, window_pieces=0, score_calibration=[1.0, 0.0], refine_mentions=False, rescoring=None)
    speeds = stage["tokens_per_second"]
    best = max(PIPELINE_BATCHES, key=lambda size: float(speeds[f"pipeline, batch {size}"]["median"]))
    seconds: dict[str, Measured] = {name: Measured() for name in ("pattern", "exact", "default")}
    tokens, rows = 0, {}
    for _ in range(inputs.sizes.repeats):
        output = inputs.fresh("pattern")
        with ray_session(load_settings()):
            began = time.monotonic()
            annotate_by_ray_data(
                [str(file) for file in files],
                str(output),
                str(folder),
                replicas=1,
                threads=inputs.cores,
                batch_size=best,
                gpu=False,
            )
            seconds["pattern"].values.append(time.monotonic() - began)
        exact = run_job(inputs, files, model=str(folder), precision="fp32")
        tokens = exact.summary["tokens"]
        rows = same_rows(output, Path(exact.summary["tables"]["entities"]), too_long)
        default = run_job(inputs, files)
        seconds["exact"].values.append(exact.running)
        seconds["default"].values.append(default.running)
    return {
        "tokens": tokens,
        "rows": rows,
        "pipeline_batch": best,
        "note": "seconds from a connection to Ray to the last row written; ours also loads its model in them",
        "seconds": {name: measured.report() for name, measured in seconds.items()},
        "tokens_per_second": {
            name: Measured([tokens / value for value in measured.values]).report() for name, measured in seconds.items()
        },
    }


def ten_times(inputs: Inputs, host: dict[str, Any]) -> dict[str, Any]:
    """Jobs of one, five and ten times as many documents: time and memory, beside the model alone on the same documents.

    `ceiling_of_these_cores` is what the share of the model stage can reach: a token that the model computes on all
    cores has its host path to go on the same ones.
    """
    once = run_job(inputs, inputs.jsonl("once", inputs.sizes.job, 4))
    model = model_rate(inputs, inputs.sizes.job)
    five = run_job(inputs, inputs.jsonl("five", 5 * inputs.sizes.job, 20))
    ten = run_job(inputs, inputs.jsonl("ten", 10 * inputs.sizes.job, 40))
    path = inputs.cores * host["tokens_per_second_per_core"]["all"]["median"]
    return {
        "once": once.report(),
        "five_times": five.report(),
        "ten_times": ten.report(),
        "model_stage_on_the_same_documents": round(model, 1),
        "ceiling_of_these_cores": round(path / (path + model), 3),
    }


def sleepers(inputs: Inputs) -> dict[str, Any]:
    """Replicas that answer at a fixed rate by sleeping: how far the host path feeds them."""
    report = {}
    for replicas in SLEEPERS:
        tokens = replicas * inputs.sizes.sleeper_rate * inputs.sizes.sleeper_seconds
        files = inputs.jsonl(f"sleepers-{replicas}", tokens, 4 * replicas)
        job = run_job(inputs, files, model=f"{STAND_IN}:{inputs.sizes.sleeper_rate}", replicas=replicas)
        share = job.summary["steady_tokens_per_second"] / (replicas * inputs.sizes.sleeper_rate)
        report[str(replicas)] = job.report() | {
            "share_of_proportion": round(share, 3),
            "host_path_full": share < 0.9,
        }
    free = run_job(
        inputs, inputs.jsonl("free", 8 * inputs.sizes.sleeper_rate * inputs.sizes.sleeper_seconds, 32), model=STAND_IN
    )
    return {"rate_of_one": inputs.sizes.sleeper_rate, "replicas": report, "without_sleep": free.report()}


def pubmed_file(inputs: Inputs) -> dict[str, Any]:
    """One large citation file: memory of any worker, and whether rows are there before it is read to its end."""
    file = inputs.folder / "pubmed" / "pubmed.xml"
    file.parent.mkdir()
    write_citations(file, inputs.documents.citations, inputs.sizes.citations)
    job = run_job(inputs, [file], model=STAND_IN)
    return {"citations": inputs.sizes.citations, "megabytes": round(file.stat().st_size / 1e6)} | job.report()


def run_job(inputs: Inputs, files: Sequence[Path], **settings: Any) -> Job:
    """A whole annotation run in a Ray of its own, watched."""
    output = inputs.fresh("job")
    with ray_session(load_settings()), peak_memory() as peaks:
        first = FirstRows()
        given = {"model": inputs.checkpoint.source} | settings
        summary = annotate([str(file) for file in files], str(output), load_settings(**given), first)
    return Job(summary, dict(peaks), first.before_the_end)


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
    windower = Windower.of(checkpoint)
    places = []
    for file in files:
        for record in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            spans = list(sentence_spans(record["text"]))
            lengths = windower.subwords([record["text"][a:b] for a, b in spans]).sentence_length
            places += [(record["id"], *spans[i]) for i in np.flatnonzero(lengths > checkpoint.max_tokens)]
    return places
