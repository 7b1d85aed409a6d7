"""torch: the engine of a GPU. It imports torch only in the replicas that use it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.logs import log
from craft_ray.model.batches import Batch
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Arrays, EngineSpec, Placement, Precision, as_out_of_memory


class TorchEngine:
    """A network on a device; on a GPU, copies to and from it run beside its work, from pinned memory.

    Where fp16 overflows, the network goes on in bf16, whose exponents are as wide as those of fp32.
    """

    def __init__(self, checkpoint: Checkpoint, placement: Placement) -> None:
        import torch

        torch.set_num_threads(placement.threads)
        self._checkpoint = checkpoint
        self._placement = placement
        self._precision = placement.precision
        self._network = self._built()
        self._device = placement.device
        self._on_gpu = placement.device.startswith("cuda")
        self.depth = 2 if self._on_gpu else 1

    def _built(self) -> Any:
        import torch

        from craft_ray.model.engines.network import build_network

        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self._precision]
        on_gpu = self._placement.device != "cpu"
        network = build_network(self._checkpoint, dtype, full_mask=on_gpu).to(self._placement.device)
        return torch.compile(network, dynamic=True) if self._placement.compile else network

    def start(self, batch: Batch) -> Any:
        """Queue the batch's copy, its computation, and the copy of labels and scores, five bytes per token."""
        import torch

        try:
            answers = self._answers(batch)
            if not self._on_gpu:
                return batch, None, (answers.label, answers.score)
            host = tuple(torch.empty_like(t, device="cpu", pin_memory=True) for t in (answers.label, answers.score))
            for target, source in zip(host, (answers.label, answers.score), strict=True):
                target.copy_(source, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        except RuntimeError as error:
            raise as_out_of_memory(error) from error
        return batch, copied, host

    def finish(self, started: Any) -> Arrays:
        """Labels and scores.

        Raises ArithmeticError if the network overflows in every format.
        """
        batch, copied, (label, score) = started
        if copied is not None:
            copied.synchronize()
        if np.isfinite(score.numpy()[batch.inside]).all():
            return label.numpy(), score.numpy()
        # Out of logits that are not finite the softmax makes scores that are not, and the label would be the first.
        if self._precision != "fp16":
            raise ArithmeticError(f"the model {self._checkpoint.source} gives logits that are not finite")
        log.warning("the model overflows in fp16; this replica goes on in bf16")
        self._precision = "bf16"
        self._network = self._built()
        return self.finish(self.start(batch))

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Logits."""
        try:
            logits: NDArray[np.float32] = self._answers(batch).logits.cpu().numpy()
        except RuntimeError as error:
            raise as_out_of_memory(error) from error
        return logits

    def _answers(self, batch: Batch) -> Any:
        import torch

        inputs = [torch.from_numpy(array) for array in (batch.token_ids, batch.n_tokens)]
        if self._on_gpu:
            inputs = [tensor.pin_memory().to(self._device, non_blocking=True) for tensor in inputs]
        with torch.inference_mode():
            return self._network(*inputs)


def _fastest(checkpoint: Checkpoint, device: str) -> Precision:
    return "fp32" if device == "cpu" else "fp16"


SPEC = EngineSpec(
    name="torch",
    devices=("cuda", "cpu"),
    precisions=("fp32", "bf16", "fp16"),
    fastest=_fastest,
    deploy=lambda checkpoint, precision: checkpoint,
    load=TorchEngine,
)
