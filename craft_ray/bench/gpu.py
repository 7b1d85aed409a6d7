"""One GPU: the model in each form that it can take there, the pipeline, the host path and whole jobs; 25 minutes.

Every part takes the device by name, and the tests run them all on a CPU.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from craft_ray.bench.baselines import token_classification
from craft_ray.bench.inputs import Inputs, read_inputs
from craft_ray.bench.matrix_peak import device_peak, operations
from craft_ray.bench.measure import BenchSizes, Measured, machine
from craft_ray.bench.model_stage import predict_windows, sentences_of, windows_of
from craft_ray.bench.whole_jobs import run_job
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import EMBEDDED
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Precision
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import find_model, load_checkpoint

PRECISIONS: tuple[Precision, ...] = ("fp16", "bf16", "fp32")

EXACT = "fp32, padded"
"""The form with which all others are compared, word by word."""


@dataclass(frozen=True, slots=True)
class BertShape:
    """The shape of a BERT whose weights are random: speed does not depend on them."""

    layers: int
    hidden: int
    heads: int
    intermediate: int


BERT_BASE = BertShape(12, 768, 12, 3072)


@dataclass(frozen=True, slots=True)
class GpuSizes:
    """How much is measured.

    tokens:   of the model stage
    seconds:  for which each form is repeated
    sentences: for the pipeline, which is slow
    batches:  batch sizes of the pipeline, of which the best counts
    products: rows, inputs and outputs of the matrix products whose fastest is the peak
    job:      tokens of a whole job
    budget:   tokens per batch
    """

    tokens: int = 1_000_000
    seconds: float = 4.0
    sentences: int = 2_000
    batches: tuple[int, ...] = (16, 64, 256)
    products: tuple[tuple[int, int, int], ...] = ((8192, 8192, 8192), (32_768, 768, 3072), (16_384, 4096, 4096))
    job: int = 20_000_000
    budget: int = 32_768


def run_gpu_benchmark(
    given: Sequence[str],
    sizes: GpuSizes,
    on_step: Callable[[str], None] = lambda step: None,
    model: str = EMBEDDED,
    device: str = "cuda",
) -> dict[str, Any]:
    """Measure a GPU on the documents of the inputs, repeated as needed.

    Returns what gpu.json holds: `machine`, `peak`, a part per model, `jobs`, and `goals`.

    Raises SettingsError if torch sees no GPU, if the inputs hold no documents, or if there is no such model.
    """
    check_device(device)
    documents = read_inputs(given)
    result: dict[str, Any] = {"machine": machine(), "device": device_of(device), "models": {}}
    with tempfile.TemporaryDirectory(prefix="craft-ray-bench-") as folder:
        checkpoint = load_checkpoint(model)
        inputs = Inputs(documents, checkpoint, Path(folder), BenchSizes(), machine()["cores"])
        on_step("the peak of matrix products")
        result["peak"] = {p: device_peak(p, device, sizes.products, sizes.seconds) for p in PRECISIONS}
        base = load_checkpoint(str(random_bert(Path(folder) / "bert-base", model, BERT_BASE)))
        for name, measured in ((model, checkpoint), ("bert-base", base)):
            own = replace(inputs, checkpoint=measured)
            on_step(f"{name} in each form")
            result["models"][name] = model_forms(own, sizes, device, result["peak"])
            on_step(f"{name} in a pipeline")
            result["models"][name] |= pipeline_rate(own, sizes, device)
        on_step("whole jobs")
        result["jobs"] = whole_jobs(inputs, sizes)
    result["goals"] = gpu_goals(result, model)
    return result


def check_device(device: str) -> None:
    """Raise SettingsError where torch has no such device."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError("torch sees no GPU here, and bench --gpu measures one: see `nvidia-smi`")


def device_of(device: str) -> dict[str, Any]:
    """The name and the memory of a device."""
    if not device.startswith("cuda"):
        return {"name": device}
    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name,
        "memory_gb": round(found.total_memory / 1e9, 1),
        "capability": f"{found.major}.{found.minor}",
        "cuda": torch.version.cuda,
    }


def random_bert(folder: Path, like: str, shape: BertShape) -> Path:
    """Save a BERT of a shape with the labels, the words and the windows of another model, and seeded random weights."""
    from transformers import AutoConfig, BertConfig, BertForTokenClassification

    source = Path(find_model(like))
    theirs = AutoConfig.from_pretrained(source).to_dict()
    kept = ("id2label", "label2id", "vocab_size", "window_pieces", "pad_token_id", "max_position_embeddings")
    torch.manual_seed(0)
    config = BertConfig(
        **{name: theirs[name] for name in kept if name in theirs},
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
    )
    BertForTokenClassification(config).save_pretrained(folder)
    for file in source.glob("*token*"):
        shutil.copy(file, folder)
    return folder


def forms(precisions: Sequence[Precision], compiled: bool = True) -> dict[str, dict[str, Any]]:
    """Each form by its name: arguments of `prepare_model`, and whether windows are packed."""
    found: dict[str, dict[str, Any]] = {}
    for precision in precisions:
        for packed in (False, True):
            for compile in (False, True) if compiled else (False,):
                if packed and compile and precision == "fp32":
                    continue  # attends by length, which has no one shape to compile for
                name = f"{precision}, {'packed' if packed else 'padded'}{', compiled' if compile else ''}"
                found[name] = {"precision": precision, "packed": packed, "compile": compile}
    return found


def model_forms(
    inputs: Inputs,
    sizes: GpuSizes,
    device: str,
    peak: Mapping[str, float],
    chosen: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Tokens per second of the model in each form, its share of the peak, and its agreement with fp32."""
    chosen = chosen or forms(PRECISIONS)
    sentences, tokens = sentences_of(inputs, sizes.tokens)
    windows = windows_of(inputs, sentences, inputs.checkpoint.window_pieces)
    special = len(inputs.checkpoint.prefix) + len(inputs.checkpoint.suffix)
    count = operations(inputs.checkpoint, windows.window_length + special) / tokens
    exact, _ = predict_windows(_model(inputs.checkpoint, device, sizes, chosen[EXACT]), windows)
    report: dict[str, dict[str, Any]] = {}
    for name, form in chosen.items():
        try:
            model = _model(inputs.checkpoint, device, sizes, form)
            began = time.monotonic()
            label, _ = predict_windows(model, windows)
            first = time.monotonic() - began
            speed = _speed(partial(predict_windows, model, windows), tokens, sizes.seconds)
        except RuntimeError as error:  # a form that this GPU or this torch cannot do is a finding, and no end
            report[name] = {"failed": str(error).partition("\n")[0]}
            continue
        report[name] = {
            "tokens_per_second": speed.report(),
            "share_of_peak": round(count * speed.median / peak[form["precision"]], 3),
            "words_as_in_fp32": round(float(np.mean(label == exact)), 6),
            "seconds_of_the_first_pass": round(first, 1),
            "tokens_per_batch_at_last": model.token_budget,
        }
        del model  # gives its memory back before the next one
    return {"tokens": tokens, "operations_per_token": round(count), "forms": report}


def _model(checkpoint: Checkpoint, device: str, sizes: GpuSizes, form: Mapping[str, Any]) -> Model:
    deployed = prepare_model(checkpoint, device, form["precision"], "torch", form["compile"])
    return Model(replace(deployed, packed=form["packed"]), token_budget=sizes.budget)


def pipeline_rate(inputs: Inputs, sizes: GpuSizes, device: str) -> dict[str, Any]:
    """Tokens per second of transformers' pipeline, in fp16 on a GPU, at each batch size."""
    sentences, _ = sentences_of(inputs, sizes.tokens)
    few = sentences[: sizes.sentences]
    tokens = len(windows_of(inputs, few, 0).token_ids)
    rival = token_classification(find_model(inputs.checkpoint.source), device, inputs.cores)
    speeds = {
        f"pipeline, batch {size}": _speed(partial(rival, few, batch_size=size), tokens, sizes.seconds)
        for size in sizes.batches
    }
    return {"pipeline": {name: {"tokens_per_second": speed.report()} for name, speed in speeds.items()}}


def whole_jobs(inputs: Inputs, sizes: GpuSizes, precision: str = "auto") -> dict[str, Any]:
    """A whole job with one replica per GPU and with two, compiled too, and the host path alone on the same files."""
    files = inputs.jsonl("gpu-job", sizes.job, 16)
    gpus = max(1, torch.cuda.device_count())
    chosen: dict[str, dict[str, Any]] = {
        "one replica per GPU": {"replicas": gpus},
        "two replicas per GPU": {"replicas": 2 * gpus},
        "one replica per GPU, compiled": {"replicas": gpus, "compile": True},
    }
    jobs = {name: run_job(inputs, files, precision=precision, **settings) for name, settings in chosen.items()}
    return {name: job.report() for name, job in jobs.items()} | {
        "host path alone": run_job(inputs, files, model=STAND_IN).report()
    }


def _speed(run: Callable[[], object], tokens: int, seconds: float) -> Measured:
    """Passes for so long, three at least; what came before has warmed up."""
    speed = Measured()
    ends = time.monotonic() + seconds
    while len(speed.values) < 3 or time.monotonic() < ends:
        began = time.monotonic()
        run()
        speed.values.append(tokens / (time.monotonic() - began))
    return speed


def gpu_goals(result: Mapping[str, Any], model: str) -> list[dict[str, Any]]:
    """One row per goal: `what`, `value`, `goal`, and whether it is `met`."""
    best = {name: _best(part["forms"]) for name, part in result["models"].items()}
    pipeline = max(row["tokens_per_second"]["median"] for row in result["models"][model]["pipeline"].values())
    half = [row for name, row in result["models"]["bert-base"]["forms"].items() if name.startswith("bf16")]
    job = max(row["steady_tokens_per_second"] for name, row in result["jobs"].items() if "replica" in name)
    host = result["jobs"]["host path alone"]["steady_tokens_per_second"]
    rows = (
        ("model stage at its best / pipeline at its best batch size, fp16", best[model] / pipeline, 8.0),
        ("BERT base in bf16 / bf16 peak", max(row.get("share_of_peak", 0.0) for row in half), 0.5),
        ("whole job at its best / the lesser of model stage and host path", job / min(best[model], host), 0.9),
    )
    return [
        {"what": what, "value": round(value, 3), "goal": f"at least {goal}", "met": value >= goal}
        for what, value, goal in rows
    ]


def _best(found: Mapping[str, Any]) -> float:
    """The highest speed of all forms that did not fail."""
    return max(float(row["tokens_per_second"]["median"]) for row in found.values() if "failed" not in row)
