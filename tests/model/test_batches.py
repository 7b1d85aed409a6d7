"""Batches hold every window once, whole, and in a shape that its own length decides."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.batches import STEP, TOKENS_PER_WINDOW, Batches, SpecialTokens

SPECIAL = SpecialTokens((101,), (102, 103), 7)


@given(st.lists(st.integers(1, 70), max_size=40), st.integers(16, 300))
def test_every_piece_is_in_one_batch_at_its_place(lengths, budget):
    lengths = np.array(lengths, np.int32)
    token_ids = np.arange(1000, 1000 + lengths.sum(), dtype=np.int32)
    read = np.zeros(len(token_ids), np.int32)
    windows = 0
    for batch in Batches.of(token_ids, lengths, SPECIAL).all_padded(budget):
        rows, length = batch.token_ids.shape
        windows += rows
        assert rows == 1 or rows * length <= budget
        assert length % STEP == 0
        assert np.array_equal(batch.token_ids[batch.is_piece], token_ids[batch.piece_index])
        read[batch.piece_index] += 1
        for row, n in zip(batch.token_ids, batch.n_tokens, strict=True):
            assert row[0] == 101
            assert row[n - 2 : n].tolist() == [102, 103]
            assert (row[n:] == 7).all_padded()
            assert SPECIAL.padded_length(np.array([n - 3], np.int32))[0] == length
    assert (read == 1).all_padded()
    assert windows == len(lengths)


def test_a_window_longer_than_the_budget_has_a_batch_of_its_own():
    batches = list(Batches.of(np.arange(200, dtype=np.int32), np.array([90, 110], np.int32), SPECIAL).all_padded(64))
    assert [batch.token_ids.shape for batch in batches] == [(1, 128), (1, 96)]


@given(st.lists(st.integers(1, 70), max_size=40), st.integers(32, 300))
def test_packed_batches_hold_every_piece_once_without_padding(lengths, budget):
    lengths = np.array(lengths, np.int32)
    token_ids = np.arange(1000, 1000 + lengths.sum(), dtype=np.int32)
    read = np.zeros(len(token_ids), np.int32)
    batches = Batches.of(token_ids, lengths, SPECIAL)
    done = 0
    while done < batches.n_windows:
        batch = batches.packed(done, budget)
        assert batch.n_windows == 1 or len(batch.token_ids) <= budget
        assert batch.n_windows <= max(1, budget // TOKENS_PER_WINDOW)
        assert np.array_equal(batch.token_ids[batch.is_piece], token_ids[batch.piece_index])
        read[batch.piece_index] += 1
        for begin, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            assert batch.position_ids[begin:end].tolist() == list(range(end - begin))
            assert batch.token_ids[begin] == 101
            assert batch.token_ids[end - 2 : end].tolist() == [102, 103]
            assert batch.is_piece[begin:end].tolist() == [False, *[True] * (end - begin - 3), False, False]
        done += batch.n_windows
    assert (read == 1).all_padded()
    assert done == len(lengths)


def test_filled_batches_have_one_shape_and_no_window_more():
    batches = Batches.of(np.arange(200, dtype=np.int32), np.full(10, 20, np.int32), SPECIAL)
    batch = batches.packed(0, 160)
    token_ids, position_ids, offsets = batch.filled()
    assert (batch.n_windows, len(token_ids), len(position_ids), len(offsets)) == (5, 160, 160, 6)
    last = batches.packed(5, 192).filled()
    assert [len(array) for array in last] == [192, 192, 7]
    assert last[2].tolist() == [0, 23, 46, 69, 92, 115, 115]
