"""What runs batches: OpenVINO on a CPU, torch on a GPU, and a stand-in that computes nothing.

An engine takes the next batch while others are still at work. `start` and `finish` may be called by several threads;
each finishes what it started.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.batches import Batch

Arrays = tuple[NDArray[np.int8], NDArray[np.float32]]
"""Label ids and scores, both (rows, length)."""


class OutOfMemory(Exception):
    """A batch does not fit; a smaller one may."""


class Engine(Protocol):
    """`depth`: batches that a thread should have started before it waits for the first."""

    depth: int

    def start(self, batch: Batch) -> Any:
        """Begin a batch; raises OutOfMemory."""

    def finish(self, started: Any) -> Arrays:
        """Wait for a batch's labels and scores; raises OutOfMemory."""

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Start and finish a batch for its logits, (rows, length, labels)."""


def as_out_of_memory(error: RuntimeError) -> Exception:
    """The error itself, or OutOfMemory where it says so: torch on a GPU by its type, the others by their message."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or any(
        said in text for said in ("can't allocate memory", "bad_alloc", "bad allocation", "Failed to allocate")
    ):
        return OutOfMemory(text.splitlines()[0])
    return error
