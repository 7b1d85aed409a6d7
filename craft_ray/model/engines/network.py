"""A checkpoint as transformers' own network in torch, with labels and scores on top."""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from craft_ray.model.checkpoint import Checkpoint


class Output(NamedTuple):
    """Best label of each token in each group (int8), its probability, both (rows, length, groups), and logits (rows,
    length, labels).
    """

    label: torch.Tensor
    score: torch.Tensor
    logits: torch.Tensor


class Network(torch.nn.Module):
    """Maps token ids (rows, length) and tokens per row (rows,), both int32, to `Output`.

    full_mask: pass the attention mask as (rows, 1, length, length). Given the short form, transformers checks whether
               it masks anything, for which the CPU has to wait for the GPU in every batch.
    """

    def __init__(self, model: torch.nn.Module, groups: int, full_mask: bool = False) -> None:
        super().__init__()
        self.model = model
        self.groups = groups
        self.full_mask = full_mask

    def forward(self, token_ids: torch.Tensor, n_tokens: torch.Tensor) -> Output:
        length = token_ids.shape[1]
        column = torch.arange(length, dtype=torch.int32, device=token_ids.device)
        inside = column[None, :] < n_tokens[:, None]
        mask = inside[:, None, None, :].expand(-1, 1, length, -1) if self.full_mask else inside.to(torch.int64)
        logits = self.model(input_ids=token_ids, attention_mask=mask).logits.float()
        return best_labels(logits, self.groups)


def best_labels(logits: torch.Tensor, groups: int) -> Output:
    """logits: fp32"""
    best = logits.reshape(*logits.shape[:-1], groups, -1).softmax(-1).max(-1)
    return Output(best.indices.to(torch.int8), best.values, logits)


def build_network(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32, full_mask: bool = False) -> Network:
    """The checkpoint's network for inference, with weights of one type."""
    from transformers import AutoConfig, AutoModelForTokenClassification
    from transformers.utils import logging

    logging.set_verbosity_error()  # it warns about settings that matter in training only
    model = AutoModelForTokenClassification.from_config(AutoConfig.for_model(**checkpoint.config))
    model.load_state_dict({name: to_tensor(array, dtype) for name, array in checkpoint.weights.items()}, assign=True)
    return Network(model.to(dtype=dtype).eval().requires_grad_(False), checkpoint.tags.groups, full_mask)


def to_tensor(array: NDArray[np.generic], dtype: torch.dtype) -> torch.Tensor:
    """Convert without a copy if the type allows, so that replicas on a node share the pages of the object store."""
    with warnings.catch_warnings():
        # Arrays in the object store are read-only, and inference does not write to them.
        warnings.simplefilter("ignore", UserWarning)
        tensor = torch.from_numpy(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
