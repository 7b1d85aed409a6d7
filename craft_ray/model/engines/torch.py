"""A checkpoint as a torch network that ends in labels and scores, and its int8 form.

int8 is simulated here (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference"): inputs of linear layers in 8 bits over a range that was measured once, weights in 8
bits a row. OpenVINO's compiler turns the simulation into integer kernels. Ranges are fixed, not taken from each batch,
so an answer does not depend on what else is in its batch.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from craft_ray.model.batches import Batch
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Arrays, as_out_of_memory


class Predictions(NamedTuple):
    """Each token's best label (int8), its probability, both (rows, length), and logits (rows, length, labels)."""

    label: torch.Tensor
    score: torch.Tensor
    logits: torch.Tensor


class Network(torch.nn.Module):
    """Token ids (rows, length) and tokens a row (rows,), both int32, to `Predictions`."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, token_ids: torch.Tensor, n_tokens: torch.Tensor) -> Predictions:
        """Attend to all but padding."""
        column = torch.arange(token_ids.shape[1], dtype=torch.int32, device=token_ids.device)
        mask = (column[None, :] < n_tokens[:, None]).to(torch.int64)
        logits = self.model(input_ids=token_ids, attention_mask=mask).logits.float()
        best = logits.softmax(-1).max(-1)
        return Predictions(best.indices.to(torch.int8), best.values, logits)


def build_network(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> Network:
    """The checkpoint's network with weights of one type, for inference."""
    from transformers import AutoConfig, AutoModelForTokenClassification

    model = AutoModelForTokenClassification.from_config(AutoConfig.for_model(**checkpoint.config))
    model.load_state_dict({name: _tensor(array, dtype) for name, array in checkpoint.weights.items()}, assign=True)
    return Network(model.to(dtype=dtype).eval().requires_grad_(False))


def _tensor(array: NDArray[np.generic], dtype: torch.dtype) -> torch.Tensor:
    """An array as a tensor, in place where the type allows: replicas of a node share the object store's pages."""
    with warnings.catch_warnings():
        # Arrays out of the object store are read-only, of which torch warns; inference never writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


class TorchEngine:
    """A network on a device; on a GPU, copies to and from it run beside its work, from pinned memory."""

    def __init__(self, checkpoint: Checkpoint, device: str, precision: str, threads: int, compile: bool) -> None:
        import torch

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
            raise as_out_of_memory(error) from error
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
            raise as_out_of_memory(error) from error
        return logits

    def _answers(self, batch: Batch) -> Any:
        import torch

        inputs = [torch.from_numpy(array) for array in (batch.token_ids, batch.n_tokens)]
        if self._on_gpu:
            inputs = [tensor.pin_memory().to(self._device, non_blocking=True) for tensor in inputs]
        with torch.inference_mode():
            return self._network(*inputs)
