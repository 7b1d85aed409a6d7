"""Run a network whose batches all have one shape as a CUDA graph: one call launches all of its kernels."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from craft_ray.core.logs import log
from craft_ray.model.engines.engine import OutOfMemory, as_out_of_memory
from craft_ray.model.engines.network import Output

Replay = Callable[[], None]
"""Computes the captured network again, from the tensors of its inputs to the tensors of its outputs."""

Capture = Callable[[Callable[..., Output], Sequence[torch.Tensor]], tuple[Replay, Output]]


class CapturedNetwork:
    """A network that takes its inputs on the host, and is captured again when their shapes change.

    A call overwrites the predictions of the previous one. A network that cannot be captured is called normally.
    """

    def __init__(self, network: Callable[..., Output], capture: Capture, device: str) -> None:
        self._network = network
        self._capture = capture
        self._device = device
        self._inputs: list[torch.Tensor] = []
        self._replay: Replay | None = None
        self._predictions: Any = None

    def __call__(self, *inputs: torch.Tensor) -> Output:
        """Queue the computation; the predictions are there when the device has done all that is queued."""
        if [tensor.shape for tensor in self._inputs] != [tensor.shape for tensor in inputs]:
            self._begin(inputs)
        for own, new in zip(self._inputs, inputs, strict=True):
            own.copy_(new, non_blocking=True)
        if self._replay is None:
            return self._network(*self._inputs)
        self._replay()
        predictions: Output = self._predictions
        return predictions

    def _begin(self, inputs: Sequence[torch.Tensor]) -> None:
        self._replay, self._predictions = None, None  # frees the memory of an earlier capture
        self._inputs = [tensor.to(self._device) for tensor in inputs]
        try:
            self._replay, self._predictions = self._capture(self._network, self._inputs)
        except RuntimeError as error:
            if isinstance(as_out_of_memory(error), OutOfMemory):
                self._inputs = []
                raise
            log.warning("the model runs without a CUDA graph, which could not be captured: %s", error)


def capture_cuda_graph(network: Callable[..., Output], inputs: Sequence[torch.Tensor]) -> tuple[Replay, Output]:
    """Capture after three calls, in which libraries and compilers choose their kernels."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            network(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Other threads may pin memory meanwhile, which the default mode forbids.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        predictions = network(*inputs)
    return graph.replay, predictions
