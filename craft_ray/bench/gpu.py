"""One GPU: the peak of its matrix products, the model in each form that it can take, the pipeline and whole jobs.

The device is a parameter, so that the tests run every part on a CPU.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from craft_ray.bench.inputs import Inputs
from craft_ray.bench.measure import in_turn, rates, timed
from craft_ray.bench.model_stage import predict_windows, sentences_of, windows_of
from craft_ray.bench.rivals import token_classification
from craft_ray.bench.whole_jobs import run_job
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Precision
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import find_model
from craft_ray.model.tags import Predictions, TagSet
from craft_ray.model.weights import unpacked_folder

DTYPES: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

PRODUCTS = ((8192, 8192, 8192), (32_768, 768, 3072), (16_384, 4096, 4096))
"""Rows, inputs and outputs of the matrix products whose fastest is the peak."""

Form = tuple[Precision, bool, bool]
"""A form of the model: its precision, whether windows are packed, and whether it is compiled."""

FORMS: list[Form] = [
    (precision, packed, compiled)
    for precision in DTYPES
    for packed in (False, True)
    for compiled in (False, True)
    if not (packed and compiled and precision == "fp32")  # attends by length, so there is no one shape to compile
]


def device_peaks(device: str, repeats: int, products: Iterable[tuple[int, int, int]] = PRODUCTS) -> dict[str, float]:
    """The best rate of torch's matrix products, in operations per second; a multiply-add counts as two."""
    peaks: dict[str, float] = {}
    for precision, dtype in DTYPES.items():
        for rows, inputs, outputs in products:
            left, right = (torch.randn(n, inputs, device=device).to(dtype) for n in (rows, outputs))

            def run(left: torch.Tensor = left, right: torch.Tensor = right) -> None:
                with torch.inference_mode():
                    for _ in range(10):
                        torch.nn.functional.linear(left, right)
                    if device != "cpu":
                        torch.cuda.synchronize()

            seconds = min(in_turn({"product": partial(timed, run)}, repeats)["product"])
            peaks[precision] = max(peaks.get(precision, 0.0), 10 * 2.0 * rows * inputs * outputs / seconds)
    return peaks


def model_forms(
    inputs: Inputs, device: str, peaks: Mapping[str, float], forms: Iterable[Form] = FORMS, token_budget: int = 32_768
) -> dict[str, dict[str, Any]]:
    """Tokens per second of the model in each form, the share of the peak, and the agreement with fp32."""
    checkpoint = inputs.checkpoint
    sentences, tokens = sentences_of(checkpoint, inputs.texts, inputs.sizes.stage)
    windows = windows_of(checkpoint, sentences, checkpoint.window_pieces)
    work = operations(checkpoint, windows.window_length) / tokens

    def model_in(precision: Precision, packed: bool, compiled: bool) -> Model:
        deployed = prepare_model(checkpoint, device, precision, "torch", compiled)
        return Model(replace(deployed, packed=packed), token_budget=token_budget)

    exact = predict_windows(model_in("fp32", packed=False, compiled=False), windows)
    report: dict[str, dict[str, Any]] = {}
    for precision, packed, compiled in forms:
        name = f"{precision}, {'packed' if packed else 'padded'}{', compiled' if compiled else ''}"
        try:
            run = partial(predict_windows, model_in(precision, packed, compiled), windows)
            first = timed(run)
            seconds = in_turn({name: partial(timed, run)}, inputs.sizes.repeats, warm_up=False)[name]
            found = run()
        except RuntimeError as error:  # that a GPU or a version of torch lacks a form is a result
            report[name] = {"failed": str(error).partition("\n")[0]}
            continue
        speed = rates(tokens, seconds)
        report[name] = {
            "tokens_per_second": speed,
            "share_of_peak": round(work * speed["median"] / peaks[precision], 3),
            "labels_as_in_fp32": round(_agreement(found, exact, checkpoint.tags), 6),
            "seconds_of_the_first_pass": round(first, 1),
        }
        del run  # frees the memory of the GPU for the next one
    return report


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


def pipeline_rates(inputs: Inputs, device: str, batches: Iterable[int] = (16, 64, 256)) -> dict[str, Any]:
    """Tokens per second of the pipeline, in fp16 on a GPU, at each batch size; it is slow, so a tenth of the tokens."""
    sentences, tokens = sentences_of(inputs.checkpoint, inputs.texts, inputs.sizes.stage // 10)
    folder = unpacked_folder(find_model(inputs.checkpoint.source), inputs.folder / "pipeline-model")
    rival = token_classification(folder, device, inputs.cores)
    runs = {f"pipeline, batch {size}": partial(timed, partial(rival, sentences, batch_size=size)) for size in batches}
    return {name: rates(tokens, values) for name, values in in_turn(runs, inputs.sizes.repeats).items()}


def gpu_jobs(inputs: Inputs) -> dict[str, Any]:
    """A whole job with one replica per GPU and with two, compiled too, and the host path alone on the same files."""
    files = inputs.jsonl("gpu-job", inputs.sizes.job, 16)
    gpus = max(1, torch.cuda.device_count())
    jobs: dict[str, dict[str, Any]] = {
        "one replica per GPU": {"replicas": gpus},
        "two replicas per GPU": {"replicas": 2 * gpus},
        "one replica per GPU, compiled": {"replicas": gpus, "compile": True},
        "host path alone": {"model": STAND_IN},
    }
    return {name: run_job(inputs, inputs.folder / "job-out", files, **settings) for name, settings in jobs.items()}
