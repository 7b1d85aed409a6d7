"""Batches limited by padded tokens."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.training.batching import LENGTH_STEP, TokenBatches, token_batches
from craft_ray.training.examples import EpochExamples, Examples


def examples(lengths: list[int]) -> Examples:
    total = sum(lengths)
    return Examples(np.zeros(total, np.int32), np.zeros(total, np.int16), np.cumsum(lengths, dtype=np.int64))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 1000), st.integers(0, 5))
def test_batches_cover_all_windows_within_the_limit(lengths, tokens, seed):
    batches = token_batches(np.array(lengths), tokens, np.random.default_rng(seed))
    assert sorted(int(i) for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = -(-max(lengths[i] for i in batch) // LENGTH_STEP) * LENGTH_STEP
        assert len(batch) == 1 or len(batch) * longest <= tokens
    assert len(batches) == len(token_batches(np.array(lengths), tokens, np.random.default_rng(seed + 1)))


def test_workers_share_an_epoch():
    epochs = EpochExamples([examples([20, 30, 40, 50] * 25)])
    workers = [TokenBatches(epochs, 128, seed=1, rank=rank, workers=2) for rank in (0, 1)]
    first = [list(worker) for worker in workers]
    assert len(first[0]) == len(first[1]) == len(workers[0])
    windows = [window for batches in first for batch in batches for window in batch]
    assert len(windows) == len(set(windows)) >= 97  # an odd batch is left out
    assert first[0] == list(workers[0])
    epochs.epoch = 1
    assert first[0] != list(workers[0])


def test_epochs_of_different_length_have_equally_many_batches():
    epochs = EpochExamples([examples([100] * 12), examples([100] * 10)])
    batches = TokenBatches(epochs, 224, seed=1, rank=0, workers=1)
    assert len(batches) == len(list(batches)) == 5
    epochs.epoch = 1
    assert len(list(batches)) == 5
