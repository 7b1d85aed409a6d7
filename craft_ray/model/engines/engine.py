"""The interface of engines, and how one is chosen.

An engine takes the next batch, `batches.Batch` or `batches.PackedBatch`, while others are still at work. `start` and
`finish` may be called by several threads; each finishes what it started.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.checkpoint import Checkpoint

Arrays = tuple[NDArray[np.int8], NDArray[np.float32]]
"""Label ids and scores, both in the shape of the batch's `inside`."""

Precision = Literal["fp32", "bf16", "fp16", "int8"]


class OutOfMemory(Exception):
    """A batch does not fit; a smaller one may."""


class Engine(Protocol):
    """The interface of all engines.

    depth: batches that a thread should have started before it waits for the first
    packs: whether batches are packed; else they are rectangles
    precision: the number format that it computes in now
    """

    depth: int
    packs: bool
    precision: Precision

    def start(self, batch: Any) -> Any:
        """Begin a batch; raises OutOfMemory."""

    def finish(self, started: Any) -> Arrays:
        """Wait for a batch's labels and scores; raises OutOfMemory."""

    def logits(self, batch: Any) -> NDArray[np.float32]:
        """Start and finish a batch for its logits: (..., labels), else in the shape of its `inside`."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how an engine works in a replica.

    device:  `cpu` or `cuda`
    threads: CPU threads of the process
    compile: whether the network is compiled for the device first
    packed:  whether windows are packed, where the engine can
    """

    device: str
    precision: Precision
    threads: int = 1
    compile: bool = False
    packed: bool = True


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine that can be chosen; importing the file that defines it imports no large library.

    name:    as in the setting `engine`
    devices: by the kinds of device that it runs on, the number formats that it computes in there
    fastest: the format that `auto` stands for with a checkpoint on a kind of device
    deploy:  makes of a checkpoint what travels to the replicas; called once, on the driver
    load:    makes the engine of what travelled, in each replica
    """

    name: str
    devices: Mapping[str, tuple[Precision, ...]]
    fastest: Callable[[Checkpoint, str], Precision]
    deploy: Callable[[Checkpoint, Precision], Any]
    load: Callable[[Any, Placement], Engine]


def as_out_of_memory(error: RuntimeError) -> Exception:
    """The error itself, or OutOfMemory where it says so: torch on a GPU by its type, the others by their message."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or any(
        said in text for said in ("can't allocate memory", "bad_alloc", "bad allocation", "Failed to allocate")
    ):
        return OutOfMemory(text.splitlines()[0])
    return error
