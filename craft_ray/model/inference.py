"""Token ids to label ids and scores. Knows tensors, and neither text nor Ray."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.batches import Batch, Batches, PackedBatch, SpecialTokens
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines import ENGINES
from craft_ray.model.engines.engine import OutOfMemory, Placement, Precision
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.precision import choose_precision


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A checkpoint made ready for a kind of device: what replicas are made from, wherever they are.

    engine:  name of the engine that `content` is for
    content: as the engine's `deploy` makes it
    """

    engine: str
    content: Any
    frame: SpecialTokens
    n_labels: int
    device: str
    precision: Precision
    compile: bool = False
    packed: bool = True


def prepare_model(
    checkpoint: Checkpoint,
    device: str = "cpu",
    precision: Precision | Literal["auto"] = "auto",
    engine: str = "auto",
    compile: bool = False,
) -> DeployedModel:
    """Make a checkpoint ready to ship; `compile` has each replica run `torch.compile`, where torch is the engine.

    Raises SettingsError for a precision or an engine that the device or the checkpoint does not allow.
    """
    frame = SpecialTokens.of(checkpoint)
    n_labels = len(checkpoint.id2label)
    if checkpoint.stand_in is not None:
        return DeployedModel(STAND_IN, checkpoint.stand_in, frame, n_labels, device, "fp32")
    chosen, by = choose_precision(checkpoint, device, precision, engine)
    return DeployedModel(by.name, by.deploy(checkpoint, chosen), frame, n_labels, device, chosen, compile)


class Model:
    """A model form at work. Several threads may use it: one begins its batches when another has begun its last one.

    token_budget: tokens that a batch holds at most, padding included; halves for good when a batch does not fit in
                  memory
    threads:      CPU threads of this process
    """

    def __init__(self, form: DeployedModel, *, token_budget: int = 512, threads: int = 1) -> None:
        placement = Placement(form.device, form.precision, threads, form.compile, form.packed)
        self._engine = ENGINES[form.engine].load(form.content, placement)
        self._frame = form.frame
        self._n_labels = form.n_labels
        self._turn = threading.Lock()
        self.token_budget = token_budget

    @property
    def precision(self) -> Precision:
        """The number format that it computes in now; a network that overflows in fp16 goes on in bf16."""
        return self._engine.precision

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        precision: Precision | Literal["auto"] = "auto",
        *,
        engine: str = "auto",
        token_budget: int = 512,
    ) -> "Model":
        """A model on all of this machine's CPU."""
        form = prepare_model(checkpoint, "cpu", precision, engine)
        return cls(form, token_budget=token_budget, threads=os.cpu_count() or 1)

    def predict(
        self,
        token_ids: NDArray[np.int32],
        window_length: NDArray[np.int32],
        word_piece: NDArray[np.int32],
    ) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """Label id and its probability for each word, read at the word's first piece.

        token_ids (pieces,), window_length (windows,), word_piece (words,) as in `windows.Windows`; returns two
        arrays of shape (words,).
        """
        label = np.zeros(len(token_ids), np.int8)
        score = np.zeros(len(token_ids), np.float32)
        for batch, (labels, scores) in self._run(token_ids, window_length):
            label[batch.position] = labels[batch.inside]
            score[batch.position] = scores[batch.inside]
        return label[word_piece], score[word_piece]

    def logits(
        self,
        token_ids: NDArray[np.int32],
        window_length: NDArray[np.int32],
        word_piece: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Scores that `predict` takes its labels from: (words, labels), before the softmax."""
        logits = np.zeros((len(token_ids), self._n_labels), np.float32)
        batches = Batches.of(token_ids, window_length, self._frame)
        done = 0
        while done < len(batches):
            batch = self._cut(batches, done)
            logits[batch.position] = self._engine.logits(batch)[batch.inside]
            done += batch.n_windows
        return logits[word_piece]

    def _cut(self, batches: Batches, first: int) -> Batch | PackedBatch:
        return (batches.pack if self._engine.packs else batches.cut)(first, self.token_budget)

    def _run(
        self, token_ids: NDArray[np.int32], window_length: NDArray[np.int32]
    ) -> Iterator[tuple[Batch | PackedBatch, tuple[NDArray[np.int8], NDArray[np.float32]]]]:
        """All windows in batches, some always under way."""
        batches = Batches.of(token_ids, window_length, self._frame)
        with ExitStack() as turn:
            turn.enter_context(self._turn)
            yield from self._begun_in_turn(batches, turn.close)

    def _begun_in_turn(
        self, batches: Batches, all_begun: Callable[[], None]
    ) -> Iterator[tuple[Batch | PackedBatch, tuple[NDArray[np.int8], NDArray[np.float32]]]]:
        started: deque[tuple[int, Batch | PackedBatch, Any]] = deque()
        ahead = 0
        while started or ahead < len(batches):
            if ahead < len(batches) and len(started) < self._engine.depth:
                batch = self._cut(batches, ahead)
                try:
                    started.append((ahead, batch, self._engine.start(batch)))
                except OutOfMemory as error:
                    self._shrink(batch, error)
                    continue
                ahead += batch.n_windows
                continue
            if ahead == len(batches):
                all_begun()
            first, batch, handle = started.popleft()
            try:
                yield batch, self._engine.finish(handle)
            except OutOfMemory as error:
                self._shrink(batch, error)
                # It and those behind it are begun again; what the engine still computes of them is dropped.
                ahead = first
                started.clear()

    def _shrink(self, batch: Batch | PackedBatch, error: OutOfMemory) -> None:
        if batch.n_windows == 1:
            raise error
        self.token_budget //= 2
