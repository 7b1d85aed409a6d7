"""The engine torch: the default on a GPU, and available on a CPU. Only replicas that use it import torch."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.logs import log
from craft_ray.core.packages import require
from craft_ray.model.batches import Batch, PackedBatch
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Arrays, DeployedModel, EngineSpec, Precision, as_out_of_memory, is_bert


class TorchEngine:
    """A network on a device. On a GPU, copies from and to pinned memory overlap with computation.

    The windows of a BERT are packed. Where the GPU has kernels for variable lengths, all batches are filled to one
    shape and run as a CUDA graph. A network that overflows in fp16 is rebuilt in bf16, which has fp32's exponent range.
    """

    def __init__(self, deployed: DeployedModel, threads: int) -> None:
        import torch

        from craft_ray.model.engines.bert import can_flash

        torch.set_num_threads(threads)
        self._deployed = deployed
        self._checkpoint: Checkpoint = deployed.content
        self.precision: Precision = deployed.precision
        self._on_gpu = deployed.device.startswith("cuda")
        packable = deployed.packed and is_bert(self._checkpoint)
        self._one_shape = (
            packable and self._on_gpu and can_flash(self._checkpoint, self._dtype(), torch.cuda.get_device_capability())
        )
        # Attention by length has another shape in each batch, and compiling one takes up to a minute.
        self.packs = self._one_shape or (packable and not deployed.compile)
        self.depth = 2 if self._on_gpu else 1
        self._network = self._build()
        self._lock = threading.Lock()  # a CUDA graph has a single set of input and output tensors

    def start(self, batch: Batch | PackedBatch) -> Any:
        """Queue the copy of the batch, its computation, and the copy of labels and scores, five bytes per token."""
        import torch

        try:
            with self._lock:
                precision, predictions = self.precision, self._predict(batch)
                device = predictions.label, predictions.score
                if not self._on_gpu:
                    return batch, precision, None, device
                host = tuple(torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in device)
                for target, source in zip(host, device, strict=True):
                    target.copy_(source, non_blocking=True)
                copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
                copied.record()
        except RuntimeError as error:
            raise as_out_of_memory(error) from error
        return batch, precision, copied, host

    def finish(self, started: Any) -> Arrays:
        """Raises ArithmeticError if the results are not finite in any format."""
        batch, precision, copied, host = started
        if copied is not None:
            copied.synchronize()
        label, score = (tensor.numpy()[: len(batch.is_piece)] for tensor in host)
        # The softmax of logits that are not finite is not finite either, and its best label would be the first.
        if np.isfinite(score[batch.is_piece]).all():
            return label, score
        if precision != "fp16":
            raise ArithmeticError(f"the model {self._checkpoint.source} gives logits that are not finite")
        with self._lock:
            if self.precision == "fp16":  # no other thread has switched yet
                log.warning("the model overflows in fp16; this replica goes on in bf16")
                self.precision = "bf16"
                self._network = self._build()
        return self.finish(self.start(batch))

    def logits(self, batch: Batch | PackedBatch) -> NDArray[np.float32]:
        try:
            with self._lock:
                logits: NDArray[np.float32] = self._predict(batch).logits.cpu().numpy()
        except RuntimeError as error:
            raise as_out_of_memory(error) from error
        return logits[: len(batch.is_piece)]

    def _dtype(self) -> Any:
        import torch

        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision, torch.float32)

    def _build(self) -> Any:
        import torch

        from craft_ray.model.engines.bert import Bert, attend_by_length, attend_flash
        from craft_ray.model.engines.cuda_graph import CapturedNetwork, capture_cuda_graph
        from craft_ray.model.engines.network import build_network

        checkpoint, device = self._checkpoint, self._deployed.device
        if self.packs:
            longest = checkpoint.max_tokens + checkpoint.special.count
            attention = attend_flash(longest) if self._one_shape else attend_by_length
            network: torch.nn.Module = Bert(checkpoint, self._dtype(), attention)
        else:
            network = build_network(checkpoint, self._dtype(), full_mask=self._on_gpu)
        network = network.to(device)
        if self._deployed.compile:
            network = torch.compile(network, dynamic=not self._one_shape)  # type: ignore[assignment]
        return CapturedNetwork(network, capture_cuda_graph, device) if self._one_shape else network

    def _predict(self, batch: Batch | PackedBatch) -> Any:
        import torch

        from craft_ray.model.engines.bert import layout_of

        if not isinstance(batch, PackedBatch):
            arrays: tuple[NDArray[np.int32], ...] = batch.token_ids, batch.n_tokens
        else:
            arrays = batch.filled() if self._one_shape else (batch.token_ids, batch.position_ids)
        inputs = [torch.from_numpy(array) for array in arrays]
        with torch.inference_mode():
            if self._one_shape:
                return self._network(*(tensor.pin_memory() for tensor in inputs))
            device = self._deployed.device
            if self._on_gpu:
                inputs = [tensor.pin_memory().to(device, non_blocking=True) for tensor in inputs]
            layout = [layout_of(batch.offsets, device)] if isinstance(batch, PackedBatch) else []
            return self._network(*inputs, *layout)


def _deploy(checkpoint: Checkpoint, precision: Precision) -> Checkpoint:
    for package in ("torch", "transformers"):
        require(package, "the engine torch, as on every GPU,")
    return replace(checkpoint, weights=dict(checkpoint.weights))  # unpacked once, not in each replica


SPEC = EngineSpec(
    name="torch",
    devices={"cuda": ("fp32", "bf16", "fp16"), "cpu": ("fp32", "bf16", "fp16")},
    fastest=lambda checkpoint, device: "fp32" if device == "cpu" else "fp16",
    deploy=_deploy,
    load=TorchEngine,
)
