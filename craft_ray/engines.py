"""What runs batches: OpenVINO on a CPU, torch on a GPU, and a stand-in that computes nothing.

An engine takes the next batch while others are still at work. `start` and `finish` may be called by several threads;
each finishes what it started.
"""

import threading
import time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from craft_ray.batches import Batch
from craft_ray.checkpoint import Checkpoint, StandIn
from craft_ray.graph import Graph

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


class GraphEngine:
    """A graph on this process's CPU threads."""

    def __init__(self, graph: Graph, threads: int) -> None:
        self._graph = graph  # its constants are read in place, and OpenVINO does not keep them alive
        self._compiled = graph.compiled(threads)
        self._idle = threading.local()
        self.depth = threads + 1

    def start(self, batch: Batch) -> Any:
        """Hand the batch to the next stream that is free; its arrays must live until it is finished."""
        idle: list[Any] = self._idle.__dict__.setdefault("requests", [])
        try:
            request = idle.pop() if idle else self._compiled.create_infer_request()
            request.start_async([batch.token_ids, batch.n_tokens], share_inputs=True)
        except RuntimeError as error:
            raise _told(error) from error
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
            raise _told(error) from error


class TorchEngine:
    """A network on a device; on a GPU, copies to and from it run beside its work, from pinned memory."""

    def __init__(self, checkpoint: Checkpoint, device: str, precision: str, threads: int, compile: bool) -> None:
        import torch

        from craft_ray.network import build_network

        torch.set_num_threads(threads)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        network = build_network(checkpoint, dtype).to(device)
        self._network = torch.compile(network, dynamic=True) if compile else network
        self._device = device
        self._on_gpu = device.startswith("cuda")
        self.depth = 2 if self._on_gpu else 1

    def start(self, batch: Batch) -> Any:
        """Queue the batch's copy, its computation, and the copy of labels and scores, five bytes a token."""
        import torch

        try:
            answers = self._answers(batch)
            if not self._on_gpu:
                return None, (answers.label, answers.score)
            host = tuple(torch.empty_like(t, device="cpu", pin_memory=True) for t in (answers.label, answers.score))
            for target, source in zip(host, (answers.label, answers.score), strict=True):
                target.copy_(source, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        except RuntimeError as error:
            raise _told(error) from error
        return copied, host

    def finish(self, started: Any) -> Arrays:
        """Labels and scores."""
        copied, (label, score) = started
        if copied is not None:
            copied.synchronize()
        return label.numpy(), score.numpy()

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Logits."""
        try:
            logits: NDArray[np.float32] = self._answers(batch).logits.cpu().numpy()
        except RuntimeError as error:
            raise _told(error) from error
        return logits

    def _answers(self, batch: Batch) -> Any:
        import torch

        inputs = [torch.from_numpy(array) for array in (batch.token_ids, batch.n_tokens)]
        if self._on_gpu:
            inputs = [tensor.pin_memory().to(self._device, non_blocking=True) for tensor in inputs]
        with torch.inference_mode():
            return self._network(*inputs)


class StandInEngine:
    """Answers as a `StandIn` says."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._free = 0.0
        self._lock = threading.Lock()
        self.depth = 1

    def start(self, batch: Batch) -> Any:
        """Look the labels up, and book the time that the batch would take after those before it."""
        until = 0.0
        if self._stand_in.tokens_per_second:
            with self._lock:
                began = max(self._free, time.monotonic())
                until = self._free = began + int(batch.inside.sum()) / self._stand_in.tokens_per_second
        return until, self._stand_in.label[batch.token_ids]

    def finish(self, started: Any) -> Arrays:
        """Labels, and the same score for all."""
        until, label = started
        if until:
            time.sleep(max(0.0, until - time.monotonic()))
        return label, np.full(label.shape, 0.9, np.float32)

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """A logit of one for the label, zeros beside it."""
        label = self._stand_in.label[batch.token_ids]
        return np.eye(int(self._stand_in.label.max()) + 1, dtype=np.float32)[label]


def _told(error: RuntimeError) -> Exception:
    """The error itself, or OutOfMemory where it says so: torch on a GPU by its type, the others by their message."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or any(
        said in text for said in ("can't allocate memory", "bad_alloc", "bad allocation", "Failed to allocate")
    ):
        return OutOfMemory(text.splitlines()[0])
    return error
