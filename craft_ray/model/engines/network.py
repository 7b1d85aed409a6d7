"""A checkpoint as a torch network that ends in labels and scores."""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from craft_ray.model.checkpoint import Checkpoint


class Predictions(NamedTuple):
    """Each token's best label (int8), its probability, both (rows, length), and logits (rows, length, labels)."""

    label: torch.Tensor
    score: torch.Tensor
    logits: torch.Tensor


class Network(torch.nn.Module):
    """Token ids (rows, length) and tokens per row (rows,), both int32, to `Predictions`.

    full_mask: gives the model its mask in the form that attention takes. Of the short form transformers asks whether it
               masks anything, and for the answer a processor must wait for its GPU in each batch.
    """

    def __init__(self, model: torch.nn.Module, full_mask: bool = False) -> None:
        super().__init__()
        self.model = model
        self.full_mask = full_mask

    def forward(self, token_ids: torch.Tensor, n_tokens: torch.Tensor) -> Predictions:
        """Attend to all but padding."""
        length = token_ids.shape[1]
        column = torch.arange(length, dtype=torch.int32, device=token_ids.device)
        inside = column[None, :] < n_tokens[:, None]
        mask = inside[:, None, None, :].expand(-1, 1, length, -1) if self.full_mask else inside.to(torch.int64)
        return best_labels(self.model(input_ids=token_ids, attention_mask=mask).logits.float())


def best_labels(logits: torch.Tensor) -> Predictions:
    """The best label of each token and its probability, beside the logits (fp32) that they come from."""
    best = logits.softmax(-1).max(-1)
    return Predictions(best.indices.to(torch.int8), best.values, logits)


def build_network(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32, full_mask: bool = False) -> Network:
    """The checkpoint's network with weights of one type, for inference."""
    from transformers import AutoConfig, AutoModelForTokenClassification
    from transformers.utils import logging

    logging.set_verbosity_error()  # it warns of settings that only training reads
    model = AutoModelForTokenClassification.from_config(AutoConfig.for_model(**checkpoint.config))
    model.load_state_dict({name: to_tensor(array, dtype) for name, array in checkpoint.weights.items()}, assign=True)
    return Network(model.to(dtype=dtype).eval().requires_grad_(False), full_mask)


def to_tensor(array: NDArray[np.generic], dtype: torch.dtype) -> torch.Tensor:
    """An array as a tensor, in place where the type allows: replicas of a node share the object store's pages."""
    with warnings.catch_warnings():
        # Arrays out of the object store are read-only, of which torch warns; inference never writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
