"""Windows of word pieces that fit the model, as flat columns.

A window is one sentence, or consecutive sentences of a document up to the size that the model was trained with. A
sentence that does not fit the model is covered by overlapping windows, and each unit is read in the one where it has
the most context. Nothing is truncated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.wordpieces import Subwords, Units, to_subwords


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows that the model reads, all int32 but `unit_inner`.

    token_ids:       (pieces,)  of all windows, one after the other; overlapping windows repeat some
    window_length:   (windows,) number of pieces
    window_sentence: (windows,) index of the window's first sentence
    unit_piece:      (units,)   index in `token_ids` of the unit's first piece
    unit_inner:      (units,)   true for pieces that continue a word
    """

    token_ids: NDArray[np.int32]
    window_length: NDArray[np.int32]
    window_sentence: NDArray[np.int32]
    unit_piece: NDArray[np.int32]
    unit_inner: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Windower:
    """Makes windows for one model. Fields are as in `Checkpoint`."""

    tokenizer: Tokenizer
    max_tokens: int
    window_pieces: int = 0
    label_pieces: bool = False
    blank_words: bool = False

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Windower":
        return cls(
            _tokenizer(checkpoint.tokenizer),
            checkpoint.max_tokens,
            checkpoint.window_pieces,
            checkpoint.label_pieces,
            checkpoint.blank_words,
        )

    def subwords(self, sentences: Sequence[str]) -> Subwords:
        return to_subwords(self.tokenizer, sentences, self.blank_words)

    def windows(self, pieces: Subwords, document: NDArray[np.integer] | None = None) -> tuple[Units, Windows]:
        """document: (sentences,) number of each sentence's document, which no window crosses; None if there is one"""
        units = Units.of(pieces, self.label_pieces)
        return units, make_windows(pieces, units, self.max_tokens, self.window_pieces, document)

    def __call__(self, sentences: Sequence[str]) -> tuple[Units, Windows]:
        """Units and windows of the sentences of one document."""
        return self.windows(self.subwords(sentences))


@lru_cache(maxsize=1)
def _tokenizer(serialized: str) -> Tokenizer:
    return Tokenizer.from_str(serialized)


def make_windows(
    pieces: Subwords, units: Units, limit: int, size: int = 0, document: NDArray[np.integer] | None = None
) -> Windows:
    """Put sentences into windows of at most `limit` pieces.

    size:     pieces up to which consecutive sentences share a window; 0 for one sentence per window
    document: (sentences,) number of each sentence's document, which no window crosses; None if there is only one
    """
    length = pieces.sentence_length
    first_sentence = _runs(length, document, min(size, limit))
    run_length = np.add.reduceat(length, first_sentence) if len(length) else length
    unit_run = np.searchsorted(first_sentence, units.sentence, side="right") - 1
    first = units.piece.astype(np.int64)
    window_from, window_length, window_run, unit_window = _cover(run_length, unit_run, first, limit)

    token_ids = pieces.token_ids
    window_to = np.cumsum(window_length)
    window_start = window_to - window_length
    if len(window_to) and window_to[-1] != len(token_ids):  # overlapping windows repeat pieces
        token_ids = token_ids[np.repeat(window_from - window_start, window_length) + np.arange(window_to[-1])]
    return Windows(
        token_ids=token_ids,
        window_length=window_length.astype(np.int32),
        window_sentence=first_sentence[window_run].astype(np.int32),
        unit_piece=(window_start[unit_window] + first - window_from[unit_window]).astype(np.int32),
        unit_inner=units.inner,
    )


def _runs(length: NDArray[np.int32], document: NDArray[np.integer] | None, size: int) -> NDArray[np.int64]:
    """The first sentence of each run of sentences that share a window: as many as fit `size`, but at least one."""
    if size == 0:
        return np.arange(len(length), dtype=np.int64)
    to = np.cumsum(length, dtype=np.int64)
    changes = np.flatnonzero(np.diff(document)) + 1 if document is not None else np.empty(0, np.int64)
    document_end = np.append(changes, len(length))
    firsts = []
    first = 0
    while first < len(length):
        firsts.append(first)
        past_size = int(np.searchsorted(to, to[first] - length[first] + size, side="right"))
        end = int(document_end[np.searchsorted(document_end, first, side="right")])
        first = max(first + 1, min(past_size, end))
    return np.array(firsts, np.int64)


def _cover(
    length: NDArray[np.integer], unit_run: NDArray[np.integer], first: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cover runs of `length` pieces with windows of at most `limit` pieces.

    Neighbouring windows of a run overlap by `2 * context` pieces. The unit whose first piece is at p is read in window
    (p - context) // stride, where at least `context` pieces of its run, if there are as many, lie on either side of p.

    Returns the first piece, length and run of each window, and the window of each unit.
    """
    context = limit // 8
    stride = limit - 2 * context
    count = np.where(length > limit, -(-(length - limit) // stride) + 1, np.minimum(length, 1)).astype(np.int64)
    run_from = np.cumsum(length, dtype=np.int64) - length
    first_window = np.cumsum(count) - count
    window_run = np.repeat(np.arange(len(length)), count)
    number_in_run = np.arange(len(window_run)) - first_window[window_run]
    window_from = run_from[window_run] + number_in_run * stride
    window_length = np.minimum(limit, run_from[window_run] + length[window_run] - window_from)
    in_run = first - run_from[unit_run]
    unit_number = np.clip((in_run - context) // stride, 0, count[unit_run] - 1)
    return window_from, window_length, window_run, first_window[unit_run] + unit_number
