"""The engine openvino: a checkpoint as an OpenVINO graph, made on the driver and run by CPU replicas without torch.

A window gets the same bits in any batch.
"""

import ctypes
import hashlib
import json
import logging
import sys
import tempfile
import threading
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.packages import is_installed, require
from craft_ray.core.user_cache import cached
from craft_ray.core.version import __version__
from craft_ray.model.batches import Batch
from craft_ray.model.checkpoint import Checkpoint, first_line
from craft_ray.model.engines.bert_graph import bert_graph, is_plain_bert
from craft_ray.model.engines.engine import Arrays, EngineSpec, Precision, as_out_of_memory
from craft_ray.model.engines.processor import capabilities, processor_name

GraphPrecision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class OpenVinoModel:
    """A graph in OpenVINO's file format: its structure as XML, its constants as bytes."""

    structure: bytes
    constants: NDArray[np.uint8]
    precision: GraphPrecision

    def compile(self, streams: int) -> Any:
        """Compile for several concurrent batches, each on one thread. `self` must outlive the result.

        Threads that share a batch would all wait whenever the system suspends one of them.
        """
        openvino = _import_openvino()
        core = openvino.Core()
        # OpenVINO refuses the read-only arrays of the object store, although it only reads them.
        memory = (ctypes.c_uint8 * len(self.constants)).from_address(self.constants.ctypes.data)
        constants = openvino.Tensor(np.frombuffer(memoryview(memory), np.uint8), shared_memory=True)
        model = core.read_model(self.structure.decode(), constants)
        return core.compile_model(model, "CPU", _options(self.precision, streams))

    def to_bytes(self) -> bytes:
        """Constants (first, for alignment), structure, and the structure's length in eight bytes."""
        return b"".join((self.constants.tobytes(), self.structure, len(self.structure).to_bytes(8, "little")))

    @classmethod
    def from_bytes(cls, content: memoryview, precision: GraphPrecision) -> "OpenVinoModel":
        """The inverse of `to_bytes`. The constants are a view of `content`."""
        end = len(content) - 8
        begin = end - int.from_bytes(content[end:], "little")
        return cls(bytes(content[begin:end]), np.frombuffer(content, np.uint8, begin), precision)


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """A graph as OpenVINO has compiled it for this processor. Loading it takes a third of the time of compiling."""

    content: memoryview
    precision: GraphPrecision

    def compile(self, streams: int) -> Any:
        """Load it for several concurrent batches. `self` must outlive the result."""
        openvino = _import_openvino()
        content = openvino.Tensor(np.frombuffer(self.content, np.uint8), shared_memory=True)
        return openvino.Core().import_model(content, "CPU", _options(self.precision, streams))


def _options(precision: GraphPrecision, streams: int) -> dict[str, Any]:
    return {
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": str(streams),
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "ENABLE_CPU_PINNING": False,  # all replicas of a node would be pinned to its first cores
    }


def compiled_here(checkpoint: Checkpoint, precision: GraphPrecision) -> CompiledGraph:
    """Compile a checkpoint, or take it from the cache. Raises SettingsError as `to_openvino` does."""

    def make() -> bytes:
        graph = to_openvino(checkpoint, precision)
        exported: bytes = graph.compile(1).export_model().getvalue()
        return exported

    return CompiledGraph(cached("graphs", _cache_key(checkpoint, precision, "compiled"), make), precision)


def to_openvino(checkpoint: Checkpoint, precision: GraphPrecision) -> OpenVinoModel:
    """Build the graph directly for a BERT in fp32 or int8; convert any other network, or take it from the cache.

    Raises SettingsError if a package for the conversion is missing or OpenVINO does not support the network.
    """
    if precision != "bf16" and is_plain_bert(checkpoint):
        openvino = _import_openvino()
        model = openvino.Model(**bert_graph(checkpoint, openvino.opset15, precision == "int8"), name="bert")
        return _saved(model, precision)
    for package in ("torch", "transformers"):
        require(package, f"the model {checkpoint.source} in {precision}")
    key = _cache_key(checkpoint, precision, "graph")
    content = cached("graphs", key, lambda: _convert(checkpoint, precision).to_bytes())
    return OpenVinoModel.from_bytes(content, precision)


def _cache_key(checkpoint: Checkpoint, precision: GraphPrecision, form: str) -> str:
    """A digest of everything that determines the graph."""
    determining = {
        "form": form,
        "fingerprint": checkpoint.fingerprint,
        "config": checkpoint.config,
        "activation_ranges": checkpoint.activation_ranges,
        "precision": precision,
        "processor": [processor_name(), sorted(capabilities())],
        "versions": {
            name: metadata.version(name) for name in ("openvino", "torch", "transformers") if is_installed(name)
        },
        "craft_ray": __version__,
    }
    return hashlib.sha256(json.dumps(determining, sort_keys=True, default=str).encode()).hexdigest()


def _convert(checkpoint: Checkpoint, precision: GraphPrecision) -> OpenVinoModel:
    import torch

    from craft_ray.model.engines.int8 import quantize
    from craft_ray.model.engines.network import build_network

    network = build_network(checkpoint)
    if precision == "int8":
        network = quantize(network, checkpoint.activation_ranges)
    example = torch.ones(2, 16, dtype=torch.int32), torch.full((2,), 16, dtype=torch.int32)
    try:
        logging.getLogger("openvino").setLevel(logging.ERROR)  # the tracer warns about shapes, which tests cover
        with warnings.catch_warnings(action="ignore"), torch.inference_mode():
            model = _import_openvino().convert_model(network, example_input=example)
    except Exception as error:  # the converter raises many types
        raise SettingsError(
            f"OpenVINO cannot convert the model {checkpoint.source} ({first_line(error)}): choose the engine torch"
        ) from error
    return _saved(model, precision)


def _saved(model: Any, precision: GraphPrecision) -> OpenVinoModel:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.xml"
        _import_openvino().save_model(model, file, compress_to_fp16=False)
        return OpenVinoModel(file.read_bytes(), np.fromfile(file.with_suffix(".bin"), np.uint8), precision)


def _import_openvino() -> Any:
    """OpenVINO without telemetry, for which it has a stub if that package cannot be imported.

    Unless the user has opted out, telemetry reports each import and conversion to Intel, and forks this process for it.
    The converter takes a third of the import, so it is imported on first use.
    """
    absent: Any = None  # makes an import fail
    sys.modules.setdefault("openvino_telemetry", absent)
    if "openvino" not in sys.modules:
        sys.modules["openvino.tools.ovc"] = absent
        import openvino

        del sys.modules["openvino.tools.ovc"]
        openvino.__getattr__ = _converter
    return sys.modules["openvino"]


def _converter(name: str) -> Any:
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    from openvino.tools.ovc import convert_model

    return convert_model


class OpenVinoEngine:
    """A compiled graph, one batch per CPU thread."""

    def __init__(self, graph: OpenVinoModel | CompiledGraph, threads: int) -> None:
        self._graph = graph  # OpenVINO reads its constants in place and does not keep them alive
        self._compiled = graph.compile(threads)
        self._idle = threading.local()
        self.depth = threads + 1
        self.packs = False
        self.precision: Precision = graph.precision

    def start(self, batch: Batch) -> Any:
        """Queue the batch, whose arrays must live until it is finished."""
        idle: list[Any] = self._idle.__dict__.setdefault("requests", [])
        try:
            request = idle.pop() if idle else self._compiled.create_infer_request()
            request.start_async([batch.token_ids, batch.n_tokens], share_inputs=True)
        except RuntimeError as error:
            raise as_out_of_memory(error) from error
        return request

    def finish(self, started: Any) -> Arrays:
        label, score = self._outputs(started, 0, 1)
        return label, score

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        (logits,) = self._outputs(self.start(batch), 2)
        return logits

    def _outputs(self, request: Any, *numbers: int) -> list[NDArray[Any]]:
        try:
            request.wait()
        except RuntimeError as error:
            raise as_out_of_memory(error) from error
        # Copies, because the request's next batch overwrites its outputs.
        outputs = [request.get_output_tensor(number).data.copy() for number in numbers]
        self._idle.requests.append(request)
        return outputs


def _fastest(checkpoint: Checkpoint, device: str) -> Precision:
    able = capabilities()
    # Processors without these instructions add 8-bit products in 16 bits, which overflow.
    if checkpoint.activation_ranges and able & {"avx512_vnni", "avx_vnni", "i8mm"}:
        return "int8"
    return "bf16" if able & {"avx512_bf16", "amx_bf16"} and is_installed("torch") else "fp32"


SPEC = EngineSpec(
    name="openvino",
    devices={"cpu": ("fp32", "bf16", "int8")},
    fastest=_fastest,
    deploy=to_openvino,  # type: ignore[arg-type]  # only called with the formats above
    load=lambda deployed, threads: OpenVinoEngine(deployed.content, threads),
    deploy_here=compiled_here,  # type: ignore[arg-type]  # likewise
)
