"""Batches by tokens: every window once per epoch, within the budget, equally many for each worker."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.training.batching import STEP, TokenBatches, token_batches
from craft_ray.training.examples import EpochExamples, Examples


def examples(lengths: list[int]) -> Examples:
    total = sum(lengths)
    return Examples(np.zeros(total, np.int32), np.zeros(total, np.int16), np.cumsum(lengths, dtype=np.int64))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 1000), st.integers(0, 5))
def test_each_window_is_in_one_batch_and_batches_keep_to_the_budget(lengths, tokens, seed):
    batches = token_batches(np.array(lengths), tokens, np.random.default_rng(seed))
    assert sorted(int(i) for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = -(-max(lengths[i] for i in batch) // STEP) * STEP
        assert len(batch) == 1 or len(batch) * longest <= tokens
    assert len(batches) == len(token_batches(np.array(lengths), tokens, np.random.default_rng(seed + 1)))


def test_workers_share_an_epoch_and_another_epoch_has_another_order():
    rounds = EpochExamples([examples([20, 30, 40, 50] * 25)])
    workers = [TokenBatches(rounds, 128, seed=1, rank=rank, workers=2) for rank in (0, 1)]
    first = [list(worker) for worker in workers]
    assert len(first[0]) == len(first[1]) == len(workers[0])
    shown = [number for batches in first for batch in batches for number in batch]
    assert len(shown) == len(set(shown)) >= 97  # an odd batch is left out
    assert first[0] == list(workers[0])
    rounds.epoch = 1
    assert first[0] != list(workers[0])


def test_epochs_of_different_length_have_equally_many_batches():
    rounds = EpochExamples([examples([100] * 12), examples([100] * 10)])
    batches = TokenBatches(rounds, 224, seed=1, rank=0, workers=1)
    assert len(batches) == len(list(batches)) == 5
    rounds.epoch = 1
    assert len(list(batches)) == 5
