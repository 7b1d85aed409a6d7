"""Windows with a label for each piece."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.windows import Subwords, Windows

IGNORED = -100
"""The label id that has no loss: special tokens, and pieces after a word's first."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows with a label for each piece, special tokens included; flat over windows.

    token_ids: (pieces,); label: (pieces,), IGNORED where there is none; end: (windows,) where each window ends
    """

    token_ids: NDArray[np.int32]
    label: NDArray[np.int16]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.end)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        part = slice(int(self.end[number - 1]) if number else 0, int(self.end[number]))
        return {"input_ids": self.token_ids[part].tolist(), "labels": self.label[part].tolist()}


def make_examples(
    windows: Windows, word_label: NDArray[np.integer], prefix: Sequence[int], suffix: Sequence[int]
) -> Examples:
    """Put special tokens around windows, and each word's label at its first piece.

    word_label: (words,) in the order of `windows.word_piece`
    """
    around = len(prefix) + len(suffix)
    length = windows.window_length + around
    window = np.repeat(np.arange(len(length)), windows.window_length)
    place = np.arange(len(windows.token_ids)) + window * around + len(prefix)
    token_ids = np.zeros(int(length.sum()), np.int32)
    label = np.full(len(token_ids), IGNORED, np.int16)
    token_ids[place] = windows.token_ids
    label[place[windows.word_piece]] = word_label
    end = np.cumsum(length, dtype=np.int64)
    for number, token in enumerate(prefix):
        token_ids[end - length + number] = token
    for number, token in enumerate(suffix):
        token_ids[end - len(suffix) + number] = token
    return Examples(token_ids, label, end)


def join_examples(parts: Sequence[Examples]) -> Examples:
    """The windows of all parts."""
    return Examples(
        np.concatenate([part.token_ids for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.cumsum(np.concatenate([np.diff(part.end, prepend=0) for part in parts])),
    )


class EpochExamples:
    """Examples that change from epoch to epoch: each epoch has the next of some variants, and then the first again.

    The variants' windows differ a little in number; an epoch has as many as the smallest.
    """

    def __init__(self, variants: Sequence[Examples]) -> None:
        self.variants = variants
        self.epoch = 0

    @property
    def variant(self) -> Examples:
        """That of the epoch."""
        return self.variants[self.epoch % len(self.variants)]

    def __len__(self) -> int:
        return min(map(len, self.variants))

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        return self.variant[number]


def word_labels(tags: Sequence[Sequence[str]], pieces: Subwords, number: dict[str, int]) -> NDArray[np.int64]:
    """(words,): the label id of each word that has a piece. tags: one list per sentence."""
    flat = np.array([number[tag] for sentence in tags for tag in sentence], np.int64)
    length = np.array([len(sentence) for sentence in tags], np.int64)
    labels: NDArray[np.int64] = flat[(np.cumsum(length) - length)[pieces.word_sentence] + pieces.word_index]
    return labels
