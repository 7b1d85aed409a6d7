"""One GPU: the model in each form that it can take, the pipeline, the host path and whole jobs.

The device is a parameter, so that the tests run every part on a CPU.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from craft_ray.bench.baselines import token_classification
from craft_ray.bench.goals import check_goals, gpu_figures
from craft_ray.bench.inputs import BenchSizes, Inputs, read_inputs
from craft_ray.bench.measure import in_turn, machine, rates, timed
from craft_ray.bench.model_stage import predict_windows, sentences_of, windows_of
from craft_ray.bench.whole_jobs import run_job
from craft_ray.core.errors import SettingsError
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Precision
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import find_model, load_checkpoint
from craft_ray.model.tags import Predictions, TagSet

DTYPES: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

EXACT = "fp32, padded"
"""The form that all others are compared with, word by word."""


@dataclass(frozen=True, slots=True)
class GpuSizes:
    """How much is measured.

    tokens:    for the model alone
    sentences: for the pipeline, which is slow
    batches:   batch sizes of the pipeline, which is compared at its best
    products:  rows, inputs and outputs of the matrix products whose fastest is the peak
    job:       tokens of a whole job
    budget:    tokens per batch
    """

    repeats: int = 3
    tokens: int = 1_000_000
    sentences: int = 2_000
    batches: tuple[int, ...] = (16, 64, 256)
    products: tuple[tuple[int, int, int], ...] = ((8192, 8192, 8192), (32_768, 768, 3072), (16_384, 4096, 4096))
    job: int = 20_000_000
    budget: int = 32_768


def run_gpu_benchmark(
    given: Sequence[str], sizes: GpuSizes, on_step: Callable[[str], None], model: str, device: str = "cuda"
) -> dict[str, Any]:
    """Measure a GPU on the given documents, repeated as needed.

    Returns the content of gpu.json: `machine`, `device`, `peak`, `forms`, `pipeline`, `jobs` and `goals`.

    Raises SettingsError if torch sees no GPU, or there are no documents or no such model.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("torch sees no GPU here, and bench --gpu measures one: see `nvidia-smi`")
    texts, files = read_inputs(given)
    result: dict[str, Any] = {"machine": machine(), "model": model, "device": device_of(device)}
    with tempfile.TemporaryDirectory(prefix="craft-ray-bench-") as folder:
        inputs = Inputs(texts, files, load_checkpoint(model), Path(folder), BenchSizes(), machine()["cores"])
        on_step("the peak of matrix products")
        result["peak"] = {precision: device_peak(precision, device, sizes) for precision in DTYPES}
        on_step("each form of the model")
        result |= model_forms(inputs, sizes, device, result["peak"], forms())
        on_step("the pipeline")
        result["pipeline"] = pipeline_rates(inputs, sizes, device)
        on_step("whole jobs")
        result["jobs"] = whole_jobs(inputs, sizes)
    return result | {"goals": check_goals(gpu_figures(result))}


def device_of(device: str) -> dict[str, Any]:
    if device == "cpu":
        return {"name": device}
    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name,
        "memory_gb": round(found.total_memory / 1e9, 1),
        "capability": f"{found.major}.{found.minor}",
        "cuda": torch.version.cuda,
    }


def device_peak(precision: Precision, device: str, sizes: GpuSizes) -> float:
    """The best rate of torch's matrix products, in operations per second; a multiply-add counts as two."""
    best = 0.0
    for rows, inputs, outputs in sizes.products:
        left, right = (torch.randn(n, inputs, device=device).to(DTYPES[precision]) for n in (rows, outputs))

        def run(left: torch.Tensor = left, right: torch.Tensor = right) -> None:
            with torch.inference_mode():
                for _ in range(10):
                    torch.nn.functional.linear(left, right)
                if device != "cpu":
                    torch.cuda.synchronize()

        seconds = min(in_turn({"product": partial(timed, run)}, sizes.repeats)["product"])
        best = max(best, 10 * 2.0 * rows * inputs * outputs / seconds)
    return best


def forms(compiled: bool = True) -> dict[str, dict[str, Any]]:
    """Every form of a model by its name: precision, whether windows are packed, and whether it is compiled."""
    return {
        f"{precision}, {'packed' if packed else 'padded'}{', compiled' if compile else ''}": {
            "precision": precision,
            "packed": packed,
            "compile": compile,
        }
        for precision in DTYPES
        for packed in (False, True)
        for compile in ((False, True) if compiled else (False,))
        if not (packed and compile and precision == "fp32")  # attends by length, so there is no one shape to compile
    }


def model_forms(
    inputs: Inputs, sizes: GpuSizes, device: str, peak: Mapping[str, float], chosen: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Tokens per second of the model in each form, the share of the peak, and the agreement with fp32."""
    sentences, tokens = sentences_of(inputs, sizes.tokens)
    windows = windows_of(inputs, sentences, inputs.checkpoint.window_pieces)
    operations_per_token = operations(inputs.checkpoint, windows.window_length) / tokens

    def model_in(form: Mapping[str, Any]) -> Model:
        deployed = prepare_model(inputs.checkpoint, device, form["precision"], "torch", form["compile"])
        return Model(replace(deployed, packed=form["packed"]), token_budget=sizes.budget)

    exact = predict_windows(model_in(chosen[EXACT]), windows)
    report: dict[str, dict[str, Any]] = {}
    for name, form in chosen.items():
        try:
            model = model_in(form)
            run = partial(predict_windows, model, windows)
            first = timed(run)
            seconds = in_turn({name: partial(timed, run)}, sizes.repeats, warm_up=False)[name]
            found = run()
        except RuntimeError as error:  # that a GPU or a version of torch lacks a form is a result
            report[name] = {"failed": str(error).partition("\n")[0]}
            continue
        speed = rates(tokens, seconds)
        report[name] = {
            "tokens_per_second": speed,
            "share_of_peak": round(operations_per_token * speed["median"] / peak[form["precision"]], 3),
            "labels_as_in_fp32": round(_agreement(found, exact, inputs.checkpoint.tags), 6),
            "seconds_of_the_first_pass": round(first, 1),
            "tokens_per_batch_at_last": model.token_budget,
        }
        del model  # frees the memory of the GPU for the next one
    return {"tokens": tokens, "operations_per_token": round(operations_per_token), "forms": report}


def _agreement(predictions: Predictions, others: Predictions, tags: TagSet) -> float:
    """Share of the labels of two predictions, `O` aside, that are in both."""
    labels = [
        {(unit, i) for unit, i in zip(p.unit.tolist(), p.label_id.tolist(), strict=True) if tags.label[i] >= 0}
        for p in (predictions, others)
    ]
    return len(labels[0] & labels[1]) / max(1, len(labels[0] | labels[1]))


def operations(checkpoint: Checkpoint, window_length: NDArray[np.int32]) -> float:
    """Operations in the matrix products of windows, that is in linear layers and attention."""
    matrices = [w for name, w in checkpoint.weights.items() if w.ndim == 2 and "embeddings" not in name]
    layers, width = int(checkpoint.config["num_hidden_layers"]), int(checkpoint.config["hidden_size"])
    length = window_length.astype(np.float64) + checkpoint.special.count
    return float(2 * sum(matrix.size for matrix in matrices) * length.sum() + 4 * layers * width * (length**2).sum())


def pipeline_rates(inputs: Inputs, sizes: GpuSizes, device: str) -> dict[str, Any]:
    """Tokens per second of the pipeline, in fp16 on a GPU, at each batch size."""
    sentences = sentences_of(inputs, sizes.tokens)[0][: sizes.sentences]
    tokens = len(windows_of(inputs, sentences, 0).token_ids)
    rival = token_classification(find_model(inputs.checkpoint.source), device, inputs.cores)
    runs = {
        f"pipeline, batch {size}": partial(timed, partial(rival, sentences, batch_size=size)) for size in sizes.batches
    }
    return {name: rates(tokens, values) for name, values in in_turn(runs, sizes.repeats).items()}


def whole_jobs(inputs: Inputs, sizes: GpuSizes) -> dict[str, Any]:
    """A whole job with one replica per GPU and with two, compiled too, and the host path alone on the same files."""
    files = inputs.jsonl("gpu-job", sizes.job, 16)
    gpus = max(1, torch.cuda.device_count())
    jobs: dict[str, dict[str, Any]] = {
        "one replica per GPU": {"replicas": gpus},
        "two replicas per GPU": {"replicas": 2 * gpus},
        "one replica per GPU, compiled": {"replicas": gpus, "compile": True},
        "host path alone": {"model": STAND_IN},
    }
    return {name: run_job(inputs, inputs.folder / "job-out", files, **settings) for name, settings in jobs.items()}
