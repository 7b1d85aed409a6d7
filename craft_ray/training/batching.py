"""Batches of windows of similar length, limited by their number of padded tokens."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from craft_ray.training.examples import EpochExamples

LENGTH_STEP = 16
"""Lengths are rounded up to a multiple of it, and windows of equal rounded length are shuffled."""


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
