"""Batches of windows: rectangles padded to one length, or windows packed one after the other without padding.

The padded length of a window depends on that window alone, so the other windows of a batch do not affect its result.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.checkpoint import SpecialTokens

STEP = 16
"""Windows are padded to a multiple of this. Kernels are compiled per shape, so few shapes are worth some padding."""

TOKENS_PER_WINDOW = 32
"""A packed batch has at most one window per this many tokens: attention takes time for every window it allows for."""


def padded_length(n_tokens: NDArray[np.int32]) -> NDArray[np.int32]:
    result: NDArray[np.int32] = -(-n_tokens // STEP) * STEP
    return result


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows as rows of one length.

    token_ids:   (rows, length) with special tokens and padding, int32
    n_tokens:    (rows,)        tokens without padding, int32
    is_piece:    (rows, length) true for word pieces, false for special tokens and padding
    piece_index: (pieces,)      index of each word piece in the `token_ids` of all windows
    """

    token_ids: NDArray[np.int32]
    n_tokens: NDArray[np.int32]
    is_piece: NDArray[np.bool_]
    piece_index: NDArray[np.int64]

    @property
    def n_windows(self) -> int:
        return len(self.n_tokens)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Windows one after the other.

    token_ids:    (tokens,)      with special tokens, int32
    position_ids: (tokens,)      position of each token in its window, int32
    offsets:      (windows + 1,) start of each window and end of the last one, int32
    is_piece:     (tokens,)      true for word pieces, false for special tokens
    piece_index:  (pieces,)      index of each word piece in the `token_ids` of all windows
    capacity:     tokens that any batch of the same budget can hold
    """

    token_ids: NDArray[np.int32]
    position_ids: NDArray[np.int32]
    offsets: NDArray[np.int32]
    is_piece: NDArray[np.bool_]
    piece_index: NDArray[np.int64]
    capacity: int

    @property
    def n_windows(self) -> int:
        return len(self.offsets) - 1

    def filled(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """`token_ids`, `position_ids` and `offsets`, padded to a shape that is the same for all batches of a budget.

        The added tokens belong to no window, and the added windows are empty.
        """
        tokens = self.capacity - len(self.token_ids)
        windows = max(1, self.capacity // TOKENS_PER_WINDOW) - self.n_windows
        return (
            np.pad(self.token_ids, (0, tokens)),
            np.pad(self.position_ids, (0, tokens)),
            np.pad(self.offsets, (0, windows), mode="edge"),
        )


@dataclass(frozen=True, slots=True)
class Batches:
    """Windows sorted by padded length, longest first, to be cut into batches from any index.

    token_ids: word pieces of all windows in their original order; `starts` and `lengths` refer to it
    """

    token_ids: NDArray[np.int32]
    special: SpecialTokens
    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]
    padded_lengths: NDArray[np.int32]

    @classmethod
    def of(cls, token_ids: NDArray[np.int32], window_length: NDArray[np.int32], special: SpecialTokens) -> "Batches":
        """token_ids, window_length: as in `windows.Windows`"""
        starts = np.cumsum(window_length, dtype=np.int64) - window_length
        padded = padded_length(window_length + special.count)
        order = np.argsort(-padded, kind="stable")
        return cls(token_ids, special, starts[order], window_length[order], padded[order])

    @property
    def n_windows(self) -> int:
        return len(self.lengths)

    def all_padded(self, token_budget: int) -> Iterator[Batch]:
        first = 0
        while first < self.n_windows:
            batch = self.padded(first, token_budget)
            yield batch
            first += batch.n_windows

    def padded(self, first: int, token_budget: int) -> Batch:
        """The batch that starts with window `first`: windows of one padded length within the budget, at least one."""
        length = int(self.padded_lengths[first])
        end = first + max(1, token_budget // length)
        end = min(end, int(np.searchsorted(-self.padded_lengths, -length, side="right")))
        lengths = self.lengths[first:end]
        piece_index = _ranges(self.starts[first:end], lengths)
        before, after = len(self.special.prefix), len(self.special.suffix)
        column = np.arange(length)
        pieces_end = (lengths + before)[:, None]
        is_piece = (column >= before) & (column < pieces_end)
        token_ids = np.full(is_piece.shape, self.special.padding, np.int32)
        token_ids[is_piece] = self.token_ids[piece_index]
        token_ids[:, :before] = self.special.prefix
        token_ids[np.arange(len(lengths))[:, None], pieces_end + np.arange(after)] = self.special.suffix
        return Batch(token_ids, (lengths + before + after).astype(np.int32), is_piece, piece_index)

    def packed(self, first: int, token_budget: int) -> PackedBatch:
        """The packed batch that starts with window `first`: as many windows as fit the budget, at least one."""
        before, after = len(self.special.prefix), len(self.special.suffix)
        most = max(1, token_budget // TOKENS_PER_WINDOW)
        ends = np.cumsum(self.lengths[first : first + most] + before + after)
        count = max(1, int(np.searchsorted(ends, token_budget, side="right")))
        offsets = np.concatenate([[0], ends[:count]])
        lengths = self.lengths[first : first + count]
        position_ids = _ranges(np.zeros(count, np.int64), np.diff(offsets))
        is_piece = (position_ids >= before) & (position_ids < np.repeat(lengths + before, np.diff(offsets)))
        piece_index = _ranges(self.starts[first : first + count], lengths)
        token_ids = np.empty(len(position_ids), np.int32)
        token_ids[is_piece] = self.token_ids[piece_index]
        token_ids[offsets[:-1, None] + np.arange(before)] = self.special.prefix
        token_ids[offsets[1:, None] + np.arange(-after, 0)] = self.special.suffix
        return PackedBatch(
            token_ids=token_ids,
            position_ids=position_ids.astype(np.int32),
            offsets=offsets.astype(np.int32),
            is_piece=is_piece,
            piece_index=piece_index,
            capacity=max(token_budget, len(token_ids)),
        )


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """Concatenate `arange(start, start + length)` for each pair."""
    ends = np.cumsum(lengths, dtype=np.int64)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
