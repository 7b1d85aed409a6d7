"""Batches measured in tokens: windows of similar length together, as many as a budget of padded tokens holds."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from craft_ray.training.examples import EpochExamples

STEP = 16
"""Lengths that round up to the same multiple of it are taken for equal, so that chance decides their order."""


def token_batches(length: NDArray[np.integer], tokens: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Windows by number in batches of at most `tokens` padded tokens, at least one window each.

    The number of batches depends on the lengths alone, never on chance.

    length: (windows,) tokens of each
    """
    rounded = -(-length.astype(np.int64) // STEP) * STEP
    order = np.lexsort((generator.random(len(rounded)), -rounded))
    batches, done = [], 0
    while done < len(order):
        size = max(1, tokens // int(rounded[order[done]]))
        batches.append(order[done : done + size])
        done += size
    return batches


class TokenBatches:
    """The batches of one worker, for a torch data loader: anew in each epoch, equally many for each worker and epoch.

    Workers take batches that follow each other in length, so that no worker waits long for another.
    """

    def __init__(self, examples: EpochExamples, tokens: int, seed: int, rank: int, workers: int) -> None:
        self.examples = examples
        self.tokens = tokens
        self.seed = seed
        self.rank = rank
        self.workers = workers
        chance = np.random.default_rng(seed)
        counts = [len(token_batches(np.diff(v.end, prepend=0), tokens, chance)) for v in examples.variants]
        self.count = min(counts) // workers

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.examples.epoch])
        length = np.diff(self.examples.variant.end, prepend=0)
        batches = token_batches(length, self.tokens, generator)
        groups = generator.permutation(len(batches) // self.workers)[: self.count]
        for group in groups:
            yield batches[int(group) * self.workers + self.rank].tolist()
