"""Attention over packed windows: linear layers see no padding, and attention stays within each window."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from craft_ray.model.batches import STEP
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.bert import Attention, attend_padded


def attend_flash(longest: int) -> Attention:
    """Attention of a GPU in fp16 or bf16, over windows of any length at once; the layout is `PackedBatch.edges`.

    longest: tokens of the longest window that there can be
    """
    from torch.nn.attention.varlen import varlen_attn

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        # With one split a window's answer has the same bits whatever windows are beside it.
        return varlen_attn(query, key, value, edges, edges, longest, longest, num_splits=1)  # type: ignore[return-value]

    return attend


def can_flash(checkpoint: Checkpoint, dtype: torch.dtype, capability: tuple[int, int]) -> bool:
    """True where a GPU of this capability has kernels for `attend_flash`."""
    width = int(checkpoint.config["hidden_size"]) // int(checkpoint.config["num_attention_heads"])
    return dtype in (torch.float16, torch.bfloat16) and capability >= (8, 0) and width % 8 == 0 and width <= 256


class SameLength(NamedTuple):
    """Windows of one padded length.

    tokens: (rows, length) where each token stands; padding repeats the window's first one, int64
    inside: (rows, length) which are no padding, bool
    source: (own,)         where the others stand in `tokens`, flat, int64
    target: (own,)         where they stand in the batch, int64
    """

    tokens: Any
    inside: Any
    source: Any
    target: Any


def attend_by_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Sequence[SameLength]
) -> torch.Tensor:
    """Attention of any device and format: windows of one padded length at once; the layout is `layout_of`'s."""
    attended = torch.zeros_like(query)
    for tokens, inside, source, target in layout:
        found = attend_padded(query[tokens], key[tokens], value[tokens], inside)
        attended.index_copy_(0, target, found.flatten(0, 1).index_select(0, source))
    return attended


def layout_of(edges: NDArray[np.int32], device: str) -> list[SameLength]:
    """The layout of `attend_by_length` on a device. A window's own length decides its padded one."""
    lengths = np.diff(edges)
    padded = -(-lengths // STEP) * STEP
    layout = []
    for length in np.unique(padded).tolist():
        own = np.flatnonzero(padded == length)
        column = np.arange(length)
        inside = column < lengths[own, None]
        tokens = np.where(inside, edges[own, None] + column, edges[own, None]).astype(np.int64)
        arrays = tokens, inside, np.flatnonzero(inside), tokens[inside]
        layout.append(SameLength(*(torch.from_numpy(array).to(device, non_blocking=True) for array in arrays)))
    return layout
