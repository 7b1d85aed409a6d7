"""Training examples: windows of token ids with a label id for each token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.windows import Windows
from craft_ray.model.wordpieces import Subwords
from craft_ray.training.corpora import TaggedSentence

IGNORED = -100
"""Label id of the tokens that have no loss: special tokens, and all tokens of a word but its first."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows of tokens, special tokens included; flat over windows.

    token_ids: (tokens,)
    label:     (tokens,) label id or IGNORED
    end:       (windows,) index after the last token of each window
    """

    token_ids: NDArray[np.int32]
    label: NDArray[np.int16]
    end: NDArray[np.int64]

    @property
    def length(self) -> NDArray[np.int64]:
        """(windows,) number of tokens."""
        return np.diff(self.end, prepend=0)

    def __len__(self) -> int:
        return len(self.end)

    def __getitem__(self, window: int) -> dict[str, list[int]]:
        tokens = slice(int(self.end[window - 1]) if window else 0, int(self.end[window]))
        return {"input_ids": self.token_ids[tokens].tolist(), "labels": self.label[tokens].tolist()}


def make_examples(
    windows: Windows, word_label: NDArray[np.integer], prefix: Sequence[int], suffix: Sequence[int]
) -> Examples:
    """Add special tokens to windows, and label the first token of each word.

    word_label: (words,) in the order of `windows.word_piece`
    """
    added = len(prefix) + len(suffix)
    length = windows.window_length + added
    window = np.repeat(np.arange(len(length)), windows.window_length)
    position = np.arange(len(windows.token_ids)) + window * added + len(prefix)
    token_ids = np.zeros(int(length.sum()), np.int32)
    label = np.full(len(token_ids), IGNORED, np.int16)
    token_ids[position] = windows.token_ids
    label[position[windows.word_piece]] = word_label
    end = np.cumsum(length, dtype=np.int64)
    for number, token in enumerate(prefix):
        token_ids[end - length + number] = token
    for number, token in enumerate(suffix):
        token_ids[end - len(suffix) + number] = token
    return Examples(token_ids, label, end)


def join_examples(parts: Sequence[Examples]) -> Examples:
    return Examples(
        np.concatenate([part.token_ids for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.cumsum(np.concatenate([part.length for part in parts])),
    )


def word_labels(
    sentences: Sequence[TaggedSentence], subwords: Subwords, label_ids: Mapping[str, int]
) -> NDArray[np.int64]:
    """(words,) label id of each word that has a token.

    Raises KeyError for a tag that is not in `label_ids`.
    """
    ids = np.array([label_ids[tag] for sentence in sentences for tag in sentence.tags], np.int64)
    length = np.array([len(sentence.tags) for sentence in sentences], np.int64)
    labels: NDArray[np.int64] = ids[(np.cumsum(length) - length)[subwords.word_sentence] + subwords.word_index]
    return labels


class EpochExamples:
    """A torch dataset that shows another variant of the examples in each epoch, in turn.

    Variants differ a little in their number of windows; an epoch has as many as the smallest.
    """

    def __init__(self, variants: Sequence[Examples]) -> None:
        self.variants = variants
        self.epoch = 0

    @property
    def current(self) -> Examples:
        return self.variants[self.epoch % len(self.variants)]

    def __len__(self) -> int:
        return min(map(len, self.variants))

    def __getitem__(self, window: int) -> dict[str, list[int]]:
        return self.current[window]
