"""Batches hold every window once, whole, and in a shape that its own length decides."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.batches import STEP, Batches, SpecialTokens

FRAME = SpecialTokens((101,), (102, 103), 7)


@given(st.lists(st.integers(1, 70), max_size=40), st.integers(16, 300))
def test_every_piece_is_in_one_batch_at_its_place(lengths, budget):
    lengths = np.array(lengths, np.int32)
    token_ids = np.arange(1000, 1000 + lengths.sum(), dtype=np.int32)
    read = np.zeros(len(token_ids), np.int32)
    windows = 0
    for batch in Batches.of(token_ids, lengths, FRAME).all(budget):
        rows, length = batch.token_ids.shape
        windows += rows
        assert rows == 1 or rows * length <= budget
        assert length % STEP == 0
        assert np.array_equal(batch.token_ids[batch.inside], token_ids[batch.position])
        read[batch.position] += 1
        for row, n in zip(batch.token_ids, batch.n_tokens, strict=True):
            assert row[0] == 101
            assert row[n - 2 : n].tolist() == [102, 103]
            assert (row[n:] == 7).all()
            assert FRAME.padded(np.array([n - 3], np.int32))[0] == length
    assert (read == 1).all()
    assert windows == len(lengths)


def test_a_window_longer_than_the_budget_has_a_batch_of_its_own():
    batches = list(Batches.of(np.arange(200, dtype=np.int32), np.array([90, 110], np.int32), FRAME).all(64))
    assert [batch.token_ids.shape for batch in batches] == [(1, 128), (1, 96)]
