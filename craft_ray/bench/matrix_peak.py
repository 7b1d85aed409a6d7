"""The cost of matrix products alone: this machine's peak by number format, and a model's multiply-adds."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Precision
from craft_ray.model.engines.int8 import QuantizedLinear
from craft_ray.model.engines.openvino import GraphPrecision, OpenVinoModel, trace

SIZES = ((512, 384, 1536), (1024, 768, 768), (1024, 1024, 4096), (2048, 2048, 2048))
"""Rows, inputs and outputs of the products tried; the fastest counts."""


def matrix_peak(precision: GraphPrecision, threads: int, seconds: float = 1.0) -> float:
    """Floating-point (or integer) operations a second, a multiply-add counting as two: the best of all sizes, and of
    OpenVINO's and torch's kernels.
    """
    torch.set_num_threads(threads)
    best = 0.0
    for rows, inputs, outputs in SIZES:
        best = max(best, _graph_rate(precision, threads, rows, inputs, outputs, seconds))
        best = max(best, _torch_rate(precision, rows, inputs, outputs, seconds))
    return best


def device_peak(precision: Precision, device: str, sizes: Sequence[tuple[int, int, int]], seconds: float) -> float:
    """The same of torch's kernels alone, on a device; fp32 is full fp32, as everywhere in this package."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    wait = torch.cuda.synchronize if device.startswith("cuda") else _nothing
    best = 0.0
    with torch.inference_mode():
        for rows, inputs, outputs in sizes:
            left, right = (torch.randn(n, inputs, device=device).to(dtype) for n in (rows, outputs))

            def run(left: torch.Tensor = left, right: torch.Tensor = right) -> None:
                for _ in range(10):
                    torch.nn.functional.linear(left, right)
                wait()

            best = max(best, _rate(run, 10 * 2.0 * rows * inputs * outputs, seconds))
    return best


def _nothing() -> None:
    """A CPU is done when the call returns."""


def operations(checkpoint: Checkpoint, window_length: NDArray[np.int32]) -> float:
    """Operations of the matrix products that windows of so many tokens, special ones included, need: linear layers and
    attention. Softmax, normalisation and activations are left out, as are embeddings, which are looked up.
    """
    matrices = [w for name, w in checkpoint.weights.items() if w.ndim == 2 and "embeddings" not in name]
    linear = 2 * sum(matrix.size for matrix in matrices)
    layers, width = int(checkpoint.config["num_hidden_layers"]), int(checkpoint.config["hidden_size"])
    length = window_length.astype(np.float64)
    return float(linear * length.sum() + 4 * layers * width * (length**2).sum())


def _graph_rate(precision: GraphPrecision, threads: int, rows: int, inputs: int, outputs: int, seconds: float) -> float:
    module: torch.nn.Module = torch.nn.Linear(inputs, outputs).requires_grad_(False)
    if precision == "int8":
        module = QuantizedLinear(module, -4.0, 4.0)
    example = torch.randn(rows, inputs)
    graph: OpenVinoModel = trace(module, (example,), precision)
    compiled = graph.compile(threads)
    requests = [compiled.create_infer_request() for _ in range(threads)]
    data = example.numpy()

    def run() -> None:
        for request in requests:
            request.start_async([data], share_inputs=True)
        for request in requests:
            request.wait()

    return _rate(run, 2.0 * rows * inputs * outputs * threads, seconds)


def _torch_rate(precision: str, rows: int, inputs: int, outputs: int, seconds: float) -> float:
    count = 2.0 * rows * inputs * outputs
    with torch.inference_mode():
        if precision == "int8":
            left = torch.randint(0, 256, (rows, inputs)).to(torch.uint8)
            packed = torch.ops.onednn.qlinear_prepack(torch.randint(-127, 128, (outputs, inputs)).to(torch.int8), None)
            scales, zeros = torch.full((outputs,), 0.01), torch.zeros(outputs, dtype=torch.int64)
            settings: tuple[Any, ...] = (0.01, 0, packed, scales, zeros, None, 0.01, 0, torch.uint8, "none", [], "")
            return _rate(lambda: torch.ops.onednn.qlinear_pointwise(left, *settings), count, seconds)
        dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        left, right = torch.randn(rows, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
        return _rate(lambda: torch.nn.functional.linear(left, right), count, seconds)


def _rate(run: Callable[[], object], operations: float, seconds: float) -> float:
    """The best of five stretches."""
    run()
    best = 0.0
    for _ in range(5):
        began, times = time.monotonic(), 0
        while time.monotonic() - began < seconds / 5:
            run()
            times += 1
        best = max(best, times * operations / (time.monotonic() - began))
    return best
