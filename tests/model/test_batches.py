"""Batches hold every word piece once, in a shape that depends on each window's own length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.batches import STEP, TOKENS_PER_WINDOW, Batches, padded_length
from craft_ray.model.checkpoint import SpecialTokens

SPECIAL = SpecialTokens((101,), (102, 103), 7)


def windows(lengths) -> tuple[np.ndarray, Batches]:
    token_ids = np.arange(1000, 1000 + sum(lengths), dtype=np.int32)
    return token_ids, Batches.of(token_ids, np.array(lengths, np.int32), SPECIAL)


def packed_batches(batches: Batches, budget: int):
    first = 0
    while first < batches.n_windows:
        yield (batch := batches.packed(first, budget))
        first += batch.n_windows


@given(st.lists(st.integers(1, 70), max_size=40), st.integers(16, 300))
def test_padded_batches(lengths, budget):
    token_ids, batches = windows(lengths)
    seen = [np.empty(0, np.int64)]
    rows = 0
    for batch in batches.all_padded(budget):
        count, length = batch.token_ids.shape
        rows += count
        assert count == 1 or count * length <= budget
        assert length % STEP == 0
        assert np.array_equal(batch.token_ids[batch.is_piece], token_ids[batch.piece_index])
        seen.append(batch.piece_index)
        for row, n in zip(batch.token_ids, batch.n_tokens, strict=True):
            assert row[0] == 101
            assert row[n - 2 : n].tolist() == [102, 103]
            assert (row[n:] == 7).all()
            assert padded_length(np.array([n], np.int32))[0] == length
    assert sorted(np.concatenate(seen)) == list(range(len(token_ids)))
    assert rows == len(lengths)


@given(st.lists(st.integers(1, 70), max_size=40), st.integers(32, 300))
def test_packed_batches(lengths, budget):
    token_ids, batches = windows(lengths)
    seen = [np.empty(0, np.int64)]
    for batch in packed_batches(batches, budget):
        assert batch.n_windows == 1 or len(batch.token_ids) <= budget
        assert batch.n_windows <= max(1, budget // TOKENS_PER_WINDOW)
        assert np.array_equal(batch.token_ids[batch.is_piece], token_ids[batch.piece_index])
        seen.append(batch.piece_index)
        for begin, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            assert batch.position_ids[begin:end].tolist() == list(range(end - begin))
            assert batch.token_ids[begin] == 101
            assert batch.token_ids[end - 2 : end].tolist() == [102, 103]
            assert batch.is_piece[begin:end].tolist() == [False, *[True] * (end - begin - 3), False, False]
    assert sorted(np.concatenate(seen)) == list(range(len(token_ids)))
