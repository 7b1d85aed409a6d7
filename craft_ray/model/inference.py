"""Token ids to label ids and scores, in batches, on one engine. Knows neither text nor Ray."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.model.batches import Batch, Batches, PackedBatch
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines import ENGINES
from craft_ray.model.engines.engine import Arrays, DeployedModel, EngineSpec, OutOfMemory, Precision
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.tags import Predictions


def prepare_model(
    checkpoint: Checkpoint,
    device: str = "cpu",
    precision: Precision | Literal["auto"] = "auto",
    engine: str = "auto",
    compile: bool = False,
    here: bool = False,
) -> DeployedModel:
    """Convert a checkpoint, once, to the form that is shipped to the replicas on a kind of device.

    here: only for this machine, which may be faster

    Raises SettingsError for a precision or an engine that the device or the checkpoint does not support.
    """
    chosen: Precision = "fp32"
    spec = ENGINES[STAND_IN]
    if checkpoint.stand_in is None:
        chosen, spec = choose_precision(checkpoint, device, precision, engine)
    return DeployedModel(
        engine=spec.name,
        content=((here and spec.deploy_here) or spec.deploy)(checkpoint, chosen),
        special=checkpoint.special,
        outside=checkpoint.tags.label < 0,
        groups=checkpoint.tags.groups,
        device=device,
        precision=chosen,
        compile=compile,
    )


def choose_precision(
    checkpoint: Checkpoint, device: str, precision: Precision | Literal["auto"], engine: str
) -> tuple[Precision, EngineSpec]:
    """Resolve `auto`: the first engine that runs on the device, and its fastest format that is safe for the checkpoint.

    Raises SettingsError for a combination that the device or the checkpoint does not support.
    """
    check_combination(precision, engine)
    able = [spec for spec in ENGINES.values() if device in spec.devices]
    spec = next((spec for spec in able if engine in ("auto", spec.name)), None)
    if spec is None:
        choices = ", ".join(spec.name for spec in able)
        raise SettingsError(f"the engine {engine} does not run on {device}: choose {choices}")
    if precision == "auto":
        precision = spec.fastest(checkpoint, device)
    if precision not in (formats := spec.devices[device]):
        raise SettingsError(f"the engine {spec.name} computes in {', '.join(formats)} on {device}, not in {precision}")
    if precision == "int8" and not checkpoint.activation_ranges:
        raise SettingsError(f"the model {checkpoint.source} has no activation_ranges, which int8 needs")
    return precision, spec


def check_combination(precision: str, engine: str) -> None:
    """Raise SettingsError for an unknown number format or engine, or a format in which the engine computes on no
    device, before anything is loaded.
    """
    every: tuple[str, ...] = get_args(Precision)
    formats = {spec.name: dict.fromkeys(chain(*spec.devices.values())) for spec in ENGINES.values() if spec.devices}
    if precision not in ("auto", *every):
        raise SettingsError(f"unknown precision {precision!r}: choose auto or one of {', '.join(every)}")
    if engine not in ("auto", *formats):
        raise SettingsError(f"unknown engine {engine!r}: choose auto or one of {', '.join(formats)}")
    if precision not in ("auto", *(every if engine == "auto" else formats[engine])):
        raise SettingsError(f"the engine {engine} computes in {', '.join(formats[engine])}, not in {precision}")


class Model:
    """A loaded model. Threads may share it: one starts its batches when another has started its last one.

    token_budget: maximum number of tokens in a batch, padding included; halved for good when a batch runs out of memory
    threads:      CPU threads of this process
    """

    def __init__(self, deployed: DeployedModel, *, token_budget: int = 512, threads: int = 1) -> None:
        self._engine = ENGINES[deployed.engine].load(deployed, threads)
        self._special = deployed.special
        self._outside = deployed.outside
        self._groups = deployed.groups
        self._first_label = (np.arange(deployed.groups) * (len(deployed.outside) // deployed.groups)).astype(np.int8)
        self._starting = threading.Lock()
        self.token_budget = token_budget

    @property
    def precision(self) -> Precision:
        """The current number format; a network that overflows in fp16 continues in bf16."""
        return self._engine.precision

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        precision: Precision | Literal["auto"] = "auto",
        threads: int | None = None,
        engine: str = "auto",
    ) -> "Model":
        """Load a checkpoint on all cores of this machine, or on some."""
        deployed = prepare_model(checkpoint, "cpu", precision, engine, here=True)
        return cls(deployed, threads=threads or os.cpu_count() or 1)

    def predict(
        self,
        token_ids: NDArray[np.int32],
        window_length: NDArray[np.int32],
        unit_piece: NDArray[np.int32],
        unit_inner: NDArray[np.bool_],
    ) -> Predictions:
        """The label ids of units, taken from each unit's first piece.

        token_ids (pieces,), window_length (windows,), unit_piece (units,): as in `windows.Windows`
        unit_inner: (units,) true for pieces that continue a word
        """
        label = np.zeros((len(token_ids), self._groups), np.int8)
        score = np.zeros((len(token_ids), self._groups), np.float32)
        for batch, (labels, scores) in self._run(Batches.of(token_ids, window_length, self._special)):
            label[batch.piece_index] = labels[batch.is_piece]
            score[batch.piece_index] = scores[batch.is_piece]
        return Predictions.of(label[unit_piece] + self._first_label, score[unit_piece], self._outside, unit_inner)

    def logits(
        self, token_ids: NDArray[np.int32], window_length: NDArray[np.int32], unit_piece: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Logits of each unit: (units, labels)."""
        logits = np.zeros((len(token_ids), len(self._outside)), np.float32)
        batches = Batches.of(token_ids, window_length, self._special)
        first = 0
        while first < batches.n_windows:
            batch = self._cut(batches, first)
            logits[batch.piece_index] = self._engine.logits(batch)[batch.is_piece]
            first += batch.n_windows
        return logits[unit_piece]

    def _cut(self, batches: Batches, first: int) -> Batch | PackedBatch:
        return (batches.packed if self._engine.packs else batches.padded)(first, self.token_budget)

    def _run(self, batches: Batches) -> Iterator[tuple[Batch | PackedBatch, Arrays]]:
        """All batches with their results, several in flight."""
        in_flight: deque[tuple[int, Batch | PackedBatch, Any]] = deque()
        following = 0
        with ExitStack() as starting:
            starting.enter_context(self._starting)
            while in_flight or following < batches.n_windows:
                if following < batches.n_windows and len(in_flight) < self._engine.depth:
                    batch = self._cut(batches, following)
                    try:
                        in_flight.append((following, batch, self._engine.start(batch)))
                        following += batch.n_windows
                    except OutOfMemory as error:
                        self._shrink(batch, error)
                    continue
                if following == batches.n_windows:
                    starting.close()
                first, batch, handle = in_flight.popleft()
                try:
                    yield batch, self._engine.finish(handle)
                except OutOfMemory as error:
                    self._shrink(batch, error)
                    # Restart this batch and all later ones; discard results that are still in flight.
                    following = first
                    in_flight.clear()

    def _shrink(self, batch: Batch | PackedBatch, error: OutOfMemory) -> None:
        if batch.n_windows == 1:
            raise error
        self.token_budget //= 2
