"""A checkpoint as an OpenVINO graph: converted once, on the driver, and run by CPU replicas without torch.

OpenVINO measured best of torch, ONNX Runtime, torchao and itself in all three formats. It gives the same bits for a
window whatever the batch around it.
"""

import ctypes
import hashlib
import json
import logging
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.packages import is_installed, require
from craft_ray.core.version import __version__
from craft_ray.model.batches import Batch
from craft_ray.model.checkpoint import Checkpoint, one_line
from craft_ray.model.engines.bert_graph import bert_graph, is_plain_bert
from craft_ray.model.engines.engine import Arrays, EngineSpec, Precision, as_out_of_memory
from craft_ray.model.engines.graph_cache import cached
from craft_ray.model.engines.processor import capabilities, processor_name

GraphPrecision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class OpenVinoModel:
    """The graph in OpenVINO's own form: structure as XML, constants as bytes; `precision` is what it computes in."""

    structure: bytes
    constants: NDArray[np.uint8]
    precision: GraphPrecision

    def compiled(self, streams: int) -> Any:
        """The graph ready to run so many batches at once, each by one thread; it must outlive what is returned.

        Single-threaded streams, for threads that share a batch wait for each other whenever the system takes one away.
        """
        openvino = _openvino()
        core = openvino.Core()
        # Out of the object store the constants are read-only, and OpenVINO, which only reads them, takes no such array.
        memory = (ctypes.c_uint8 * len(self.constants)).from_address(self.constants.ctypes.data)
        constants = openvino.Tensor(np.frombuffer(memoryview(memory), np.uint8), shared_memory=True)
        model = core.read_model(self.structure.decode(), constants)
        options = {
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(streams),
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            "ENABLE_CPU_PINNING": False,  # replicas of a node would all be pinned to its first cores
        }
        return core.compile_model(model, "CPU", options)

    def to_bytes(self) -> bytes:
        """Constants, structure, and the structure's length in eight bytes: constants first, to be aligned."""
        return b"".join((self.constants.tobytes(), self.structure, len(self.structure).to_bytes(8, "little")))

    @classmethod
    def from_bytes(cls, content: bytes, precision: GraphPrecision) -> "OpenVinoModel":
        """A graph from `to_bytes`; its constants are a view of the content."""
        end = len(content) - 8
        begin = end - int.from_bytes(content[end:], "little")
        return cls(content[begin:end], np.frombuffer(content, np.uint8, begin), precision)


def to_openvino(checkpoint: Checkpoint, precision: GraphPrecision) -> OpenVinoModel:
    """The checkpoint's network as a graph; a converted one comes out of the cache where an earlier run left it.

    Raises SettingsError if OpenVINO does not know some of its operations, or torch is missing to convert it.
    """
    if precision != "bf16" and is_plain_bert(checkpoint):
        openvino = _openvino()
        model = openvino.Model(**bert_graph(checkpoint, openvino.opset15, precision == "int8"), name="bert")
        return _stored(model, precision)
    for package in ("torch", "transformers"):
        require(package, f"the model {checkpoint.source} in {precision}")
    content = cached(_cache_key(checkpoint, precision), lambda: _convert(checkpoint, precision).to_bytes())
    return OpenVinoModel.from_bytes(content, precision)


def _cache_key(checkpoint: Checkpoint, precision: GraphPrecision) -> str:
    """A digest of all that decides the graph."""
    decides = {
        "fingerprint": checkpoint.fingerprint,
        "config": checkpoint.config,
        "activation_ranges": checkpoint.activation_ranges,
        "precision": precision,
        "processor": processor_name(),
        "versions": {
            name: metadata.version(name) for name in ("openvino", "torch", "transformers") if is_installed(name)
        },
        "craft_ray": __version__,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()


def _convert(checkpoint: Checkpoint, precision: GraphPrecision) -> OpenVinoModel:
    import torch

    from craft_ray.model.engines.int8 import quantize
    from craft_ray.model.engines.network import build_network

    network = build_network(checkpoint)
    if precision == "int8":
        network = quantize(network, checkpoint.activation_ranges)
    example = torch.ones(2, 16, dtype=torch.int32), torch.full((2,), 16, dtype=torch.int32)
    try:
        return trace(network, example, precision)
    except Exception as error:  # the converter raises many kinds for what it cannot convert
        raise SettingsError(
            f"OpenVINO cannot convert the model {checkpoint.source} ({one_line(error)}): choose the engine torch"
        ) from error


def trace(module: Any, example: Any, precision: GraphPrecision) -> OpenVinoModel:
    """A torch module as a graph, by an example of its inputs."""
    import torch

    openvino = _openvino()
    with _quiet(), torch.inference_mode():
        model = openvino.convert_model(module, example_input=example)
    return _stored(model, precision)


def _stored(model: Any, precision: GraphPrecision) -> OpenVinoModel:
    """A graph of OpenVINO's as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.xml"
        _openvino().save_model(model, file, compress_to_fp16=False)
        return OpenVinoModel(file.read_bytes(), np.fromfile(file.with_suffix(".bin"), np.uint8), precision)


def _openvino() -> Any:
    """OpenVINO without its telemetry, in whose place it has a stub where that package is missing.

    It would tell Intel of each import and conversion unless the user has declined, and fork this process for each.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # a module that cannot be imported
    import openvino

    return openvino


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tracer's notices, which are about shapes that our own tests cover, off the terminal."""
    import warnings

    logger = logging.getLogger("openvino")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class GraphEngine:
    """A graph on this process's CPU threads."""

    def __init__(self, graph: OpenVinoModel, threads: int) -> None:
        self._graph = graph  # its constants are read in place, and OpenVINO does not keep them alive
        self._compiled = graph.compiled(threads)
        self._idle = threading.local()
        self.depth = threads + 1
        self.packs = False
        self.precision: Precision = graph.precision

    def start(self, batch: Batch) -> Any:
        """Hand the batch to the next stream that is free; its arrays must live until it is finished."""
        idle: list[Any] = self._idle.__dict__.setdefault("requests", [])
        try:
            request = idle.pop() if idle else self._compiled.create_infer_request()
            request.start_async([batch.token_ids, batch.n_tokens], share_inputs=True)
        except RuntimeError as error:
            raise as_out_of_memory(error) from error
        return request

    def finish(self, started: Any) -> Arrays:
        """Labels and scores."""
        self._wait(started)
        # Copies, for the request's next batch overwrites them.
        label, score = (started.get_output_tensor(number).data.copy() for number in range(2))
        self._idle.requests.append(started)
        return label, score

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Logits."""
        request = self.start(batch)
        self._wait(request)
        logits: NDArray[np.float32] = request.get_output_tensor(2).data.copy()
        self._idle.requests.append(request)
        return logits

    def _wait(self, request: Any) -> None:
        try:
            request.wait()
        except RuntimeError as error:
            raise as_out_of_memory(error) from error


def _fastest(checkpoint: Checkpoint, device: str) -> Precision:
    """int8 where the checkpoint has ranges for it and the processor multiplies 8-bit integers; else bf16 where the
    processor does, and torch is there to make the graph; else fp32.
    """
    able = capabilities()
    # Processors without these add products in 16 bits, which overflow.
    if checkpoint.activation_ranges and able & {"avx512_vnni", "avx_vnni", "i8mm"}:
        return "int8"
    return "bf16" if able & {"avx512_bf16", "amx_bf16"} and is_installed("torch") else "fp32"


SPEC = EngineSpec(
    name="openvino",
    devices={"cpu": ("fp32", "bf16", "int8")},
    fastest=_fastest,
    deploy=to_openvino,  # type: ignore[arg-type]  # which is given no other precision than those above
    load=lambda graph, placement: GraphEngine(graph, placement.threads),
)
