"""Windows to the arrays that a network reads at once; pure.

Either as rectangles: all windows of a batch are padded to one length, which a window's own length decides. Or packed:
windows one after the other without padding. What a window is computed with never depends on its neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.checkpoint import Checkpoint

STEP = 16
"""Windows are padded to multiples of it: fewer shapes for kernels to be made for, at a few percent of padding."""

TOKENS_PER_WINDOW = 32
"""A packed batch holds at most one window per so many tokens: attention takes time for each that there might be."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids of the special tokens before and after each window, and of what fills a row's rest."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    padding: int

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "SpecialTokens":
        """The windows that a checkpoint was trained with."""
        return cls(checkpoint.prefix, checkpoint.suffix, int(checkpoint.config.get("pad_token_id") or 0))

    def padded(self, window_length: NDArray[np.int32]) -> NDArray[np.int32]:
        """Tokens that each window takes in a batch."""
        extra = len(self.prefix) + len(self.suffix)
        result: NDArray[np.int32] = -(-(window_length + extra) // STEP) * STEP
        return result


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows that the network reads at once.

    token_ids: (rows, length) with special tokens and padding, int32
    n_tokens:  (rows,)        tokens of each row that are not padding, int32
    inside:    (rows, length) whether each is a window's own piece, not a special token or padding
    position:  (pieces,)      where each own piece stands in the windows' flat `token_ids`
    """

    token_ids: NDArray[np.int32]
    n_tokens: NDArray[np.int32]
    inside: NDArray[np.bool_]
    position: NDArray[np.int64]

    @property
    def n_windows(self) -> int:
        """Windows in the batch."""
        return len(self.n_tokens)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Windows that the network reads at once, one after the other.

    token_ids: (tokens,)      with special tokens, int32
    place:     (tokens,)      place of each token in its window, int32
    edges:     (windows + 1,) where each window begins, and where the last one ends, int32
    inside:    (tokens,)      whether each is a window's own piece, not a special token
    position:  (pieces,)      where each own piece stands in the windows' flat `token_ids`
    room:      tokens that every batch of this budget could hold
    """

    token_ids: NDArray[np.int32]
    place: NDArray[np.int32]
    edges: NDArray[np.int32]
    inside: NDArray[np.bool_]
    position: NDArray[np.int64]
    room: int

    @property
    def n_windows(self) -> int:
        """Windows in the batch."""
        return len(self.edges) - 1

    def filled(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """`token_ids`, `place` and `edges` in the one shape that all batches of the budget have.

        Tokens beyond the last window are in none, and the windows that there might have been are empty.
        """
        tokens = self.room - len(self.token_ids)
        windows = max(1, self.room // TOKENS_PER_WINDOW) - self.n_windows
        return (
            np.pad(self.token_ids, (0, tokens)),
            np.pad(self.place, (0, tokens)),
            np.pad(self.edges, (0, windows), mode="edge"),
        )


@dataclass(frozen=True, slots=True)
class Batches:
    """Windows in the order in which batches take them: by padded length, longest first.

    token_ids, window_length: as in `windows.Windows`
    """

    token_ids: NDArray[np.int32]
    frame: SpecialTokens
    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]
    padded: NDArray[np.int32]

    @classmethod
    def of(cls, token_ids: NDArray[np.int32], window_length: NDArray[np.int32], frame: SpecialTokens) -> "Batches":
        """Order the windows."""
        starts = np.cumsum(window_length, dtype=np.int64) - window_length
        padded = frame.padded(window_length)
        order = np.argsort(-padded, kind="stable")
        return cls(token_ids, frame, starts[order], window_length[order], padded[order])

    def __len__(self) -> int:
        return len(self.lengths)

    def all(self, token_budget: int) -> Iterator[Batch]:
        """Every batch."""
        done = 0
        while done < len(self):
            batch = self.cut(done, token_budget)
            yield batch
            done += batch.n_windows

    def cut(self, first: int, token_budget: int) -> Batch:
        """The batch that begins with a window: as many of one padded length as the budget holds, at least one."""
        length = int(self.padded[first])
        last = first + max(1, token_budget // length)
        last = min(last, int(np.searchsorted(-self.padded, -length, side="right")))
        lengths = self.lengths[first:last]
        position = _ranges(self.starts[first:last], lengths)
        before, after = len(self.frame.prefix), len(self.frame.suffix)
        column = np.arange(length)
        end = (lengths + before)[:, None]
        inside = (column >= before) & (column < end)
        token_ids = np.full(inside.shape, self.frame.padding, np.int32)
        token_ids[inside] = self.token_ids[position]
        token_ids[:, :before] = self.frame.prefix
        token_ids[np.arange(len(lengths))[:, None], end + np.arange(after)] = self.frame.suffix
        return Batch(token_ids, (lengths + before + after).astype(np.int32), inside, position)

    def pack(self, first: int, token_budget: int) -> PackedBatch:
        """The packed batch that begins with a window: as many as the budget holds, at least one."""
        before, after = len(self.frame.prefix), len(self.frame.suffix)
        most = max(1, token_budget // TOKENS_PER_WINDOW)
        ends = np.cumsum(self.lengths[first : first + most] + before + after)
        count = max(1, int(np.searchsorted(ends, token_budget, side="right")))
        edges = np.concatenate([[0], ends[:count]])
        own = self.lengths[first : first + count]
        place = _ranges(np.zeros(count, np.int64), np.diff(edges))
        inside = (place >= before) & (place < np.repeat(own + before, np.diff(edges)))
        position = _ranges(self.starts[first : first + count], own)
        token_ids = np.empty(len(place), np.int32)
        token_ids[inside] = self.token_ids[position]
        token_ids[edges[:-1, None] + np.arange(before)] = self.frame.prefix
        token_ids[edges[1:, None] + np.arange(-after, 0)] = self.frame.suffix
        room = max(token_budget, len(place))
        return PackedBatch(token_ids, place.astype(np.int32), edges.astype(np.int32), inside, position, room)


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """The concatenation of `arange(start, start + length)`."""
    ends = np.cumsum(lengths, dtype=np.int64)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
