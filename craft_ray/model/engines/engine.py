"""The interface of engines.

An engine may be given the next batch while earlier ones are still being computed. Several threads may call `start` and
`finish`; each thread finishes the batches that it started.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.checkpoint import Checkpoint, SpecialTokens

Arrays = tuple[NDArray[np.int8], NDArray[np.float32]]
"""Index of the best label in each group and its score, both in the shape of the batch's `is_piece`, plus groups."""

Precision = Literal["fp32", "bf16", "fp16", "int8"]


class OutOfMemory(Exception):
    """A batch does not fit into memory; a smaller one may."""


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A checkpoint converted for an engine and a kind of device (`cpu` or `cuda`); replicas load it on any node.

    content: the result of the engine's `deploy`
    outside: (labels,) true for the label ids of `O`
    groups:  number of groups of label ids
    compile: run `torch.compile` in each replica, if the engine is torch
    packed:  pack windows, if the engine can
    """

    engine: str
    content: Any
    special: SpecialTokens
    outside: NDArray[np.bool_]
    groups: int
    device: str
    precision: Precision
    compile: bool = False
    packed: bool = True


class Engine(Protocol):
    """A loaded model.

    depth:     batches that a thread should start before it waits for the first
    packs:     whether it takes `PackedBatch` rather than `Batch`
    precision: the current number format
    """

    depth: int
    packs: bool
    precision: Precision

    def start(self, batch: Any) -> Any:
        """Start a batch and return a handle for `finish`. Raises OutOfMemory."""

    def finish(self, started: Any) -> Arrays:
        """Wait for a batch. Raises OutOfMemory."""

    def logits(self, batch: Any) -> NDArray[np.float32]:
        """Logits of a batch: the shape of `is_piece`, plus an axis of labels."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine in the registry. The module that defines it imports no large library at the top.

    name:    value of the setting `engine`
    devices: number formats by kind of device; empty for an engine that cannot be chosen by name
    fastest: the format that `auto` means for a checkpoint on a kind of device
    deploy:  converts a checkpoint to what is shipped to the replicas; called once, on the driver
    load:    makes the engine in a replica, with a number of CPU threads
    deploy_here: like `deploy`, but for this machine alone, if that is faster to load
    """

    name: str
    devices: Mapping[str, tuple[Precision, ...]]
    fastest: Callable[[Checkpoint, str], Precision]
    deploy: Callable[[Checkpoint, Precision], Any]
    load: Callable[[DeployedModel, int], Engine]
    deploy_here: Callable[[Checkpoint, Precision], Any] | None = None


def is_bert(checkpoint: Checkpoint) -> bool:
    """True for BERT with a head for tokens, as transformers has it; our own networks can run it."""
    config = checkpoint.config
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and "classifier.weight" in checkpoint.weights
    )


def as_out_of_memory(error: RuntimeError) -> Exception:
    """Convert torch's and OpenVINO's out-of-memory errors to OutOfMemory; return any other error unchanged."""
    text = str(error)
    messages = ("can't allocate memory", "bad_alloc", "bad allocation", "Failed to allocate")
    if type(error).__name__ == "OutOfMemoryError" or any(message in text for message in messages):
        return OutOfMemory(text.splitlines()[0])
    return error
