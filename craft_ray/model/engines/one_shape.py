"""A network whose batches all have one shape: recorded once, then replayed, so that a processor starts all its kernels
by one call.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from craft_ray.core.logs import log
from craft_ray.model.engines.engine import OutOfMemory, as_out_of_memory
from craft_ray.model.engines.network import Predictions

Replay = Callable[[], None]
"""Computes the recorded network anew, from where its inputs lay to where its answers lay."""

Record = Callable[[Callable[..., Predictions], Sequence[torch.Tensor]], tuple[Replay, Predictions]]
"""Records a network at work on inputs: how it is replayed, and its answers."""


class OneShape:
    """A network on a device, given its inputs on the host. The next call overwrites the answers of the last one.

    A network that cannot be recorded is called each time instead.
    """

    def __init__(self, network: Callable[..., Predictions], record: Record, device: str) -> None:
        self._network = network
        self._record = record
        self._device = device
        self._inputs: list[torch.Tensor] = []
        self._replay: Replay | None = None
        self._answers: Any = None

    def __call__(self, *inputs: torch.Tensor) -> Predictions:
        """The answers, which are computed once what has been queued on the device is done."""
        if [tensor.shape for tensor in self._inputs] != [tensor.shape for tensor in inputs]:
            self._begin(inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        if self._replay is None:
            return self._network(*self._inputs)
        self._replay()
        answers: Predictions = self._answers
        return answers

    def _begin(self, inputs: Sequence[torch.Tensor]) -> None:
        self._replay, self._answers = None, None  # gives the memory of an earlier recording back
        self._inputs = [tensor.to(self._device) for tensor in inputs]
        try:
            self._replay, self._answers = self._record(self._network, self._inputs)
        except RuntimeError as error:
            if isinstance(as_out_of_memory(error), OutOfMemory):
                self._inputs = []
                raise
            log.warning("the model's kernels are started one by one, for they cannot be recorded: %s", error)


def record_cuda_graph(
    network: Callable[..., Predictions], inputs: Sequence[torch.Tensor]
) -> tuple[Replay, Predictions]:
    """Record a CUDA graph, after three calls that let libraries and compilers choose their kernels."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            network(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Other threads go on using the GPU meanwhile, to pin memory.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        answers = network(*inputs)
    return graph.replay, answers
