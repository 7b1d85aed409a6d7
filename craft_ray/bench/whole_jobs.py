"""Whole runs: against Ray Data's pattern, and with five and ten times as many documents."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from craft_ray.annotation.run import annotate
from craft_ray.bench.inputs import Inputs
from craft_ray.bench.measure import in_turn, observed, rates, spread, timed
from craft_ray.bench.model_stage import model_rate
from craft_ray.bench.rivals import annotate_by_ray_data, comparable
from craft_ray.core.connection import ray_session
from craft_ray.core.errors import RunError
from craft_ray.core.settings import load_settings
from craft_ray.model.checkpoint import update_config
from craft_ray.model.loading import find_model
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.weights import unpacked_folder
from craft_ray.model.windows import Windower


def run_job(inputs: Inputs, output: Path, files: Sequence[Path], **settings: Any) -> dict[str, Any]:
    """Annotate files on a Ray of their own, whose start is not counted. Memory is that of this process and below."""
    shutil.rmtree(output, ignore_errors=True)
    loaded = load_settings(**{"model": inputs.checkpoint.source} | settings)
    with ray_session(load_settings()), observed(psutil.Process()) as peaks:
        summary = annotate([str(file) for file in files], str(output), loaded)
    names = ("tokens", "seconds", "seconds_to_first_commit", "steady_tokens_per_second")
    timeline = summary["timeline"]
    return {
        **{name: summary[name] for name in names},
        "documents": summary["documents"]["found"],
        "seconds_with_the_model": round(timeline["last_commit"] - timeline["model_ready"], 3),
        **asdict(peaks),
    }


def whole_job(inputs: Inputs, batch_size: int) -> dict[str, Any]:
    """The same files through Ray Data's pattern and a comparable model of ours, in turn.

    Documents with a sentence longer than a window are left out, since the pipeline truncates it silently.

    batch_size: the pipeline's best one

    Raises RunError if a row of ours in fp32 differs from the pattern's.
    """
    checkpoint = comparable(inputs.checkpoint)
    windower = Windower.of(checkpoint)

    def fits(text: str) -> bool:
        lengths = windower.subwords([text[a:b] for a, b in sentence_spans(text)]).sentence_length
        return bool(lengths.max(initial=0) <= checkpoint.max_tokens)

    inputs = replace(inputs, texts=[text for text in inputs.texts if fits(text)], checkpoint=checkpoint)
    if not inputs.texts:
        raise RunError("each document has a sentence that is too long for the pipeline")
    files = inputs.jsonl("rival", inputs.sizes.rival, 4)
    folder = inputs.folder / "sentence-model"
    if (source := unpacked_folder(find_model(checkpoint.source), folder)) != str(folder):
        shutil.copytree(source, folder)
    update_config(folder, window_pieces=0, score_calibration=[1.0, 0.0], refine_mentions=False, rescoring=None)
    theirs, ours = inputs.folder / "pattern-out", inputs.folder / "job-out"
    found: dict[str, Any] = {}

    def pattern() -> float:
        shutil.rmtree(theirs, ignore_errors=True)
        with ray_session(load_settings()):
            return timed(partial(annotate_by_ray_data, files, theirs, str(folder), inputs.cores, batch_size))

    def exact() -> float:
        job = run_job(inputs, ours, files, model=str(folder), precision="fp32")
        found.update(tokens=job["tokens"], rows=same_rows(theirs, ours / "entities"))
        return float(job["seconds"])

    def default() -> float:
        return float(run_job(inputs, ours, files)["seconds"])

    seconds = in_turn({"pattern": pattern, "exact": exact, "default": default}, inputs.sizes.repeats, warm_up=False)
    return found | {
        "pipeline_batch": batch_size,
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


def same_rows(theirs: Path, ours: Path) -> int:
    """Number of rows. Raises RunError if any differ."""
    rows = []
    for path in (theirs, ours):
        table = pq.read_table(path, columns=["doc_id", "label", "start", "end"])
        rows.append({(d, str(label), a, b) for d, label, a, b in zip(*table.to_pydict().values(), strict=True)})
    if rows[0] != rows[1]:
        differ = len(rows[0] ^ rows[1])
        raise RunError(f"of {len(rows[0])} rows of Ray Data's pattern and {len(rows[1])} of ours, {differ} differ")
    return len(rows[0])
