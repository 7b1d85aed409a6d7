"""Batches hold every window once, whole, and in a shape that its own length decides."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.batches import STEP, TOKENS_PER_WINDOW, Batches, SpecialTokens

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


@given(st.lists(st.integers(1, 70), max_size=40), st.integers(32, 300))
def test_packed_batches_hold_every_piece_once_without_padding(lengths, budget):
    lengths = np.array(lengths, np.int32)
    token_ids = np.arange(1000, 1000 + lengths.sum(), dtype=np.int32)
    read = np.zeros(len(token_ids), np.int32)
    batches = Batches.of(token_ids, lengths, FRAME)
    done = 0
    while done < len(batches):
        batch = batches.pack(done, budget)
        assert batch.n_windows == 1 or len(batch.token_ids) <= budget
        assert batch.n_windows <= max(1, budget // TOKENS_PER_WINDOW)
        assert np.array_equal(batch.token_ids[batch.inside], token_ids[batch.position])
        read[batch.position] += 1
        for begin, end in zip(batch.edges[:-1], batch.edges[1:], strict=True):
            assert batch.place[begin:end].tolist() == list(range(end - begin))
            assert batch.token_ids[begin] == 101
            assert batch.token_ids[end - 2 : end].tolist() == [102, 103]
            assert batch.inside[begin:end].tolist() == [False, *[True] * (end - begin - 3), False, False]
        done += batch.n_windows
    assert (read == 1).all()
    assert done == len(lengths)


def test_filled_batches_have_one_shape_and_no_window_more():
    batches = Batches.of(np.arange(200, dtype=np.int32), np.full(10, 20, np.int32), FRAME)
    batch = batches.pack(0, 160)
    token_ids, place, edges = batch.filled()
    assert (batch.n_windows, len(token_ids), len(place), len(edges)) == (5, 160, 160, 6)
    last = batches.pack(5, 192).filled()
    assert [len(array) for array in last] == [192, 192, 7]
    assert last[2].tolist() == [0, 23, 46, 69, 92, 115, 115]
