"""Whole runs: against Ray Data's pattern, and with five and ten times as many documents."""

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from craft_ray.annotation.run import annotate
from craft_ray.bench.baselines import PIPELINE_BATCHES, annotate_by_ray_data
from craft_ray.bench.inputs import Inputs
from craft_ray.bench.measure import in_turn, rates, spread, timed
from craft_ray.bench.model_stage import model_rate
from craft_ray.bench.processes import observed
from craft_ray.core.connection import ray_session
from craft_ray.core.errors import RunError
from craft_ray.core.settings import load_settings
from craft_ray.model.checkpoint import Checkpoint, update_config
from craft_ray.model.loading import find_model
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.windows import Windower

DocumentSpan = tuple[str, int, int]
"""A document's id, start and end."""


def run_job(inputs: Inputs, output: Path, files: Sequence[Path], **settings: Any) -> dict[str, Any]:
    """Annotate files on a Ray of their own, whose start is not counted. Memory is that of this process and below."""
    shutil.rmtree(output, ignore_errors=True)
    loaded = load_settings(**{"model": inputs.checkpoint.source} | settings)
    with ray_session(load_settings()), observed(psutil.Process()) as usage:
        summary = annotate([str(file) for file in files], str(output), loaded)
    names = ("tokens", "seconds", "seconds_to_first_commit", "steady_tokens_per_second")
    timeline = summary["timeline"]
    return {
        **{name: summary[name] for name in names},
        "documents": summary["documents"]["found"],
        "seconds_with_the_model": round(timeline["last_commit"] - timeline["model_ready"], 3),
        **usage.peaks,
    }


def whole_job(inputs: Inputs, stage: dict[str, Any]) -> dict[str, Any]:
    """The same files through Ray Data's pattern and ours, in turn.

    stage: result of `model_stage`, for the pipeline's best batch size

    Raises RunError if a row of ours in fp32 differs from the pattern's.
    """
    files = inputs.jsonl("rival", inputs.sizes.rival, 4)
    too_long = sentences_too_long(files, inputs.checkpoint)
    folder = inputs.folder / "sentence-model"
    shutil.copytree(find_model(inputs.checkpoint.source), folder)
    update_config(folder, window_pieces=0, score_calibration=[1.0, 0.0], refine_mentions=False, rescoring=None)
    speeds = stage["tokens_per_second"]
    best = max(PIPELINE_BATCHES, key=lambda size: float(speeds[f"pipeline, batch {size}"]["median"]))
    theirs, ours = inputs.folder / "pattern-out", inputs.folder / "job-out"
    found: dict[str, Any] = {}

    def pattern() -> float:
        shutil.rmtree(theirs, ignore_errors=True)
        with ray_session(load_settings()):
            return timed(partial(annotate_by_ray_data, files, theirs, str(folder), inputs.cores, best))

    def exact() -> float:
        job = run_job(inputs, ours, files, model=str(folder), precision="fp32")
        found.update(tokens=job["tokens"], rows=same_rows(theirs, ours / "entities", too_long))
        return float(job["seconds"])

    def default() -> float:
        return float(run_job(inputs, ours, files)["seconds"])

    seconds = in_turn({"pattern": pattern, "exact": exact, "default": default}, inputs.sizes.repeats, warm_up=False)
    return found | {
        "pipeline_batch": best,
        "note": "seconds from a connection to Ray to the last row written; ours also loads its model in them",
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "tokens_per_second": {name: rates(found["tokens"], values) for name, values in seconds.items()},
    }


def ten_times(inputs: Inputs) -> dict[str, Any]:
    """Jobs of one, five and ten times as many documents, and the model alone on those of the first."""
    jobs: dict[str, Any] = {}
    for name, factor in (("once", 1), ("five_times", 5), ("ten_times", 10)):
        files = inputs.jsonl(name, factor * inputs.sizes.job, 4 * factor)
        jobs[name] = run_job(inputs, inputs.folder / "job-out", files)
    return jobs | {"model_stage_on_the_same_documents": model_rate(inputs, inputs.sizes.job)}


def same_rows(theirs: Path, ours: Path, too_long: Sequence[DocumentSpan]) -> dict[str, int]:
    """Number of equal rows. Rows in sentences that the pipeline truncates are counted apart.

    Raises RunError if any other rows differ.
    """
    columns = ["doc_id", "label", "start", "end"]
    rows, apart = [], []
    for path in (theirs, ours):
        table = pq.read_table(path, columns=columns)
        found = {(d, str(label), a, b) for d, label, a, b in zip(*table.to_pydict().values(), strict=True)}
        cut = {row for row in found if any(row[0] == d and a <= row[2] < b for d, a, b in too_long)}
        rows.append(found - cut)
        apart.append(len(cut))
    if rows[0] != rows[1]:
        differ = len(rows[0] ^ rows[1])
        raise RunError(f"of {len(rows[0])} rows of Ray Data's pattern and {len(rows[1])} of ours, {differ} differ")
    return {"same": len(rows[0]), "pattern_in_long_sentences": apart[0], "ours_in_long_sentences": apart[1]}


def sentences_too_long(files: Sequence[Path], checkpoint: Checkpoint) -> list[DocumentSpan]:
    """Sentences longer than the model takes in one window, which the pipeline silently truncates."""
    windower = Windower.of(checkpoint)
    found = []
    for file in files:
        for record in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            spans = list(sentence_spans(record["text"]))
            lengths = windower.subwords([record["text"][a:b] for a, b in spans]).sentence_length
            found += [(record["id"], *spans[i]) for i in np.flatnonzero(lengths > checkpoint.max_tokens)]
    return found
