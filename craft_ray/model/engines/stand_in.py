"""An engine that computes nothing, to measure everything but the model."""

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.batches import Batch
from craft_ray.model.checkpoint import StandIn
from craft_ray.model.engines.engine import Arrays, EngineSpec, Precision

STAND_IN = "stand-in"


class StandInEngine:
    """Looks labels up, and waits as long as a network of the given speed would take."""

    def __init__(self, stand_in: StandIn, group_size: int) -> None:
        self._stand_in = stand_in
        self._group_size = group_size
        self._free_at = 0.0
        self._lock = threading.Lock()
        self.depth = 2  # as on a GPU
        self.packs = False
        self.precision: Precision = "fp32"

    def start(self, batch: Batch) -> Any:
        done_at = 0.0
        if self._stand_in.tokens_per_second:
            with self._lock:
                begin = max(self._free_at, time.monotonic())
                done_at = self._free_at = begin + int(batch.is_piece.sum()) / self._stand_in.tokens_per_second
        return done_at, self._stand_in.label[batch.token_ids]

    def finish(self, started: Any) -> Arrays:
        done_at, label = started
        if done_at:
            time.sleep(max(0.0, done_at - time.monotonic()))
        return label, np.full(label.shape, 0.9, np.float32)

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """One-hot in each group."""
        in_groups = np.eye(self._group_size, dtype=np.float32)[self._stand_in.label[batch.token_ids]]
        return in_groups.reshape(*batch.token_ids.shape, -1)


SPEC = EngineSpec(
    name=STAND_IN,
    devices={},
    fastest=lambda checkpoint, device: "fp32",
    deploy=lambda checkpoint, precision: checkpoint.stand_in,
    load=lambda deployed, threads: StandInEngine(deployed.content, len(deployed.outside) // deployed.groups),
)
