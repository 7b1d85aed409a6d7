"""Training examples: windows of token ids with a tag per token and group of labels; and their batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.tags import Mention, align_mentions
from craft_ray.model.windows import Windows
from craft_ray.model.wordpieces import Units
from craft_ray.training.corpora import Sentence

IGNORED = -100
"""Tag without a loss: of special tokens, of tokens that begin no unit, and in groups that the corpus does not label."""

LENGTH_STEP = 16
"""Lengths are rounded up to a multiple of it, and windows of equal rounded length are shuffled."""


@dataclass(frozen=True, slots=True)
class Head:
    """The labels that are learned together, in groups of tags of which each token has one: `O`, and B and I per label.

    groups: the labels of each group
    """

    groups: tuple[tuple[str, ...], ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag of each row of the head."""
        return tuple(tag for group in self.groups for tag in ("O", *(f"{p}-{label}" for label in group for p in "BI")))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of tags of each group."""
        return tuple(1 + 2 * len(group) for group in self.groups)


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows of tokens, special tokens included; flat over windows.

    token_ids: (tokens,)
    tag:       (tokens, groups) index of the tag in its group, or IGNORED
    end:       (windows,) index after the last token of each window
    """

    token_ids: NDArray[np.int32]
    tag: NDArray[np.int8]
    end: NDArray[np.int64]

    @property
    def length(self) -> NDArray[np.int64]:
        """(windows,) number of tokens."""
        return np.diff(self.end, prepend=0)

    def __len__(self) -> int:
        return len(self.end)

    def __getitem__(self, window: int) -> dict[str, NDArray[np.int64]]:
        tokens = slice(int(self.end[window - 1]) if window else 0, int(self.end[window]))
        return {"input_ids": self.token_ids[tokens].astype(np.int64), "labels": self.tag[tokens].astype(np.int64)}


def make_examples(
    windows: Windows, unit_tag: NDArray[np.int8], prefix: Sequence[int], suffix: Sequence[int]
) -> Examples:
    """Add special tokens to windows, and tag the first token of each unit.

    unit_tag: (units, groups) in the order of `windows.unit_piece`
    """
    added = len(prefix) + len(suffix)
    length = windows.window_length + added
    window = np.repeat(np.arange(len(length)), windows.window_length)
    position = np.arange(len(windows.token_ids)) + window * added + len(prefix)
    token_ids = np.zeros(int(length.sum()), np.int32)
    tag = np.full((len(token_ids), unit_tag.shape[1]), IGNORED, np.int8)
    token_ids[position] = windows.token_ids
    tag[position[windows.unit_piece]] = unit_tag
    end = np.cumsum(length, dtype=np.int64)
    for number, token in enumerate(prefix):
        token_ids[end - length + number] = token
    for number, token in enumerate(suffix):
        token_ids[end - len(suffix) + number] = token
    return Examples(token_ids, tag, end)


def join_examples(parts: Sequence[Examples]) -> Examples:
    return Examples(
        np.concatenate([part.token_ids for part in parts]),
        np.concatenate([part.tag for part in parts]),
        np.cumsum(np.concatenate([part.length for part in parts])),
    )


def unit_tags(
    sentences: Sequence[Sentence], units: Units, head: Head, places: Mapping[str, tuple[int, int]]
) -> NDArray[np.int8]:
    """(units, groups) tag of each unit: the longest of overlapping mentions in a group decides.

    places: group, and index in it, of each label that the corpus has; other groups are IGNORED
    """
    tags = np.full((len(units.piece), len(head.groups)), IGNORED, np.int8)
    tags[:, sorted({group for group, _ in places.values()})] = 0
    # All sentences on one axis of offsets, a blank apart.
    base = np.cumsum([0, *(len(sentence.text) + 1 for sentence in sentences)])
    start, end = (base[units.sentence] + offset for offset in (units.start, units.end))
    by_group: dict[int, list[Mention]] = {}
    for offset, sentence in zip(base.tolist(), sentences, strict=False):
        for m in sentence.mentions:
            by_group.setdefault(places[m.label][0], []).append(Mention(m.start + offset, m.end + offset, m.label))
    for group, mentions in by_group.items():
        for first, to, label in align_mentions(start, end, mentions):
            index = 1 + 2 * places[label][1]
            tags[first, group] = index
            tags[first + 1 : to, group] = index + 1
    return tags


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

    def __getitem__(self, window: int) -> dict[str, NDArray[np.int64]]:
        return self.current[window]


def token_batches(
    length: NDArray[np.integer], max_tokens: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Group windows into batches of at most `max_tokens` padded tokens, or of one window that is longer.

    The number of batches depends on the lengths alone, never on the generator.

    length: (windows,) tokens of each window
    """
    rounded = -(-length.astype(np.int64) // LENGTH_STEP) * LENGTH_STEP
    order = np.lexsort((generator.random(len(rounded)), -rounded))
    batches, start = [], 0
    while start < len(order):
        size = max(1, max_tokens // int(rounded[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches


class TokenBatches:
    """A torch batch sampler for one of several workers. Each epoch has other batches, equally many for each worker.

    Workers take neighbouring batches, which are of similar length, so that none waits long for another.
    """

    def __init__(self, examples: EpochExamples, max_tokens: int, seed: int, rank: int, workers: int) -> None:
        self.examples = examples
        self.max_tokens = max_tokens
        self.seed = seed
        self.rank = rank
        self.workers = workers
        generator = np.random.default_rng(seed)
        counts = [len(token_batches(variant.length, max_tokens, generator)) for variant in examples.variants]
        self.count = min(counts) // workers

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.examples.epoch])
        batches = token_batches(self.examples.current.length, self.max_tokens, generator)
        for group in generator.permutation(len(batches) // self.workers)[: self.count]:
            yield batches[int(group) * self.workers + self.rank].tolist()
