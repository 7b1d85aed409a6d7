"""torch: the engine of a GPU, and of a CPU on request.

It imports torch only in the replicas that use it.
"""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.logs import log
from craft_ray.core.packages import require
from craft_ray.model.batches import Batch, PackedBatch
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Arrays, EngineSpec, Placement, Precision, as_out_of_memory


class TorchEngine:
    """A network on a device; on a GPU, copies to and from it run beside its work, from pinned memory.

    Windows of a BERT are packed. Where the GPU has kernels for that, all batches have one shape, so that a CUDA graph
    starts a batch's kernels at once.

    Where fp16 overflows, the network goes on in bf16, whose exponents are as wide as those of fp32.
    """

    def __init__(self, checkpoint: Checkpoint, placement: Placement) -> None:
        import torch

        torch.set_num_threads(placement.threads)
        self._checkpoint = checkpoint
        self._placement = placement
        self.precision: Precision = placement.precision
        self._device = placement.device
        self._on_gpu = placement.device.startswith("cuda")
        # What attends by length has another shape for each batch, which compiling anew would cost a minute each.
        self._one_shape = self._packable() and self._has_flash()
        self.packs = self._one_shape or (self._packable() and not placement.compile)
        self.depth = 2 if self._on_gpu else 1
        self._network = self._built()
        self._one_at_a_time = threading.Lock()

    def start(self, batch: Batch | PackedBatch) -> Any:
        """Queue the batch's copy, its computation, and the copy of labels and scores, five bytes per token."""
        import torch

        try:
            with self._one_at_a_time:  # a CUDA graph has one place for inputs, and one for answers
                precision, answers = self.precision, self._answers(batch)
                if not self._on_gpu:
                    return batch, precision, None, (answers.label, answers.score)
                host = tuple(torch.empty_like(t, device="cpu", pin_memory=True) for t in (answers.label, answers.score))
                for target, source in zip(host, (answers.label, answers.score), strict=True):
                    target.copy_(source, non_blocking=True)
                copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
                copied.record()
        except RuntimeError as error:
            raise as_out_of_memory(error) from error
        return batch, precision, copied, host

    def finish(self, started: Any) -> Arrays:
        """Labels and scores.

        Raises ArithmeticError if the network overflows in every format.
        """
        batch, precision, copied, answers = started
        if copied is not None:
            copied.synchronize()
        label, score = (tensor.numpy()[: len(batch.inside)] for tensor in answers)
        if np.isfinite(score[batch.inside]).all():
            return label, score
        # Out of logits that are not finite the softmax makes scores that are not, and the label would be the first.
        if precision != "fp16":
            raise ArithmeticError(f"the model {self._checkpoint.source} gives logits that are not finite")
        self._widen()
        return self.finish(self.start(batch))

    def logits(self, batch: Batch | PackedBatch) -> NDArray[np.float32]:
        """Logits."""
        try:
            with self._one_at_a_time:
                logits: NDArray[np.float32] = self._answers(batch).logits.cpu().numpy()
        except RuntimeError as error:
            raise as_out_of_memory(error) from error
        return logits[: len(batch.inside)]

    def _widen(self) -> None:
        with self._one_at_a_time:
            if self.precision == "fp16":  # else another thread has done it
                log.warning("the model overflows in fp16; this replica goes on in bf16")
                self.precision = "bf16"
                self._network = self._built()

    def _packable(self) -> bool:
        from craft_ray.model.engines.bert import is_bert

        return self._placement.packed and is_bert(self._checkpoint)

    def _has_flash(self) -> bool:
        import torch

        from craft_ray.model.engines.packed import can_flash

        return self._on_gpu and can_flash(self._checkpoint, self._dtype(), torch.cuda.get_device_capability())

    def _dtype(self) -> Any:
        import torch

        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision, torch.float32)

    def _built(self) -> Any:
        import torch

        from craft_ray.model.engines.bert import Bert
        from craft_ray.model.engines.network import build_network
        from craft_ray.model.engines.one_shape import OneShape, record_cuda_graph
        from craft_ray.model.engines.packed import attend_by_length, attend_flash

        checkpoint = self._checkpoint
        if self.packs:
            longest = checkpoint.max_tokens + len(checkpoint.prefix) + len(checkpoint.suffix)
            attention = attend_flash(longest) if self._one_shape else attend_by_length
            network: torch.nn.Module = Bert(checkpoint, self._dtype(), attention)
        else:
            network = build_network(checkpoint, self._dtype(), full_mask=self._on_gpu)
        network = network.to(self._device)
        if self._placement.compile:
            network = torch.compile(network, dynamic=not self._one_shape)  # type: ignore[assignment]
        return OneShape(network, record_cuda_graph, self._device) if self._one_shape else network

    def _answers(self, batch: Batch | PackedBatch) -> Any:
        import torch

        from craft_ray.model.engines.packed import layout_of

        if not isinstance(batch, PackedBatch):
            arrays: tuple[NDArray[np.int32], ...] = batch.token_ids, batch.n_tokens
        else:
            arrays = batch.filled() if self._one_shape else (batch.token_ids, batch.place)
        inputs = [torch.from_numpy(array) for array in arrays]
        with torch.inference_mode():
            if self._one_shape:
                return self._network(*(tensor.pin_memory() for tensor in inputs))
            if self._on_gpu:
                inputs = [tensor.pin_memory().to(self._device, non_blocking=True) for tensor in inputs]
            layout = [layout_of(batch.edges, self._device)] if isinstance(batch, PackedBatch) else []
            return self._network(*inputs, *layout)


def _fastest(checkpoint: Checkpoint, device: str) -> Precision:
    return "fp32" if device == "cpu" else "fp16"


def _deployed(checkpoint: Checkpoint, precision: Precision) -> Checkpoint:
    """The checkpoint itself, from which each replica builds its network.

    Raises SettingsError if a package is missing.
    """
    for package in ("torch", "transformers"):
        require(package, "the engine torch, as on every GPU,")
    return checkpoint


SPEC = EngineSpec(
    name="torch",
    devices={"cuda": ("fp32", "bf16", "fp16"), "cpu": ("fp32", "bf16", "fp16")},
    fastest=_fastest,
    deploy=_deployed,
    load=TorchEngine,
)
