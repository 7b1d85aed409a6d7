"""Hashes and orders that mean the same for one document and for many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.tables.identity import id_hash, id_hashes, revision, revisions

documents = st.lists(st.tuples(st.integers(-5, 2**31 - 1), st.integers(0, 2**31 - 1), st.booleans()), max_size=20)


@given(documents)
def test_revisions_of_many_are_those_of_each(given):
    version, shard, rejected = (
        np.array([row[i] for row in given], t) for i, t in enumerate((np.int32, np.int32, bool))
    )
    assert revisions(version, shard, rejected).tolist() == [revision(*row) for row in given]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_hashes_of_many_ids_are_those_of_each(ids):
    assert id_hashes(ids).tolist() == [id_hash(doc_id) for doc_id in ids]


def test_a_readable_revision_counts_before_a_rejected_one_then_the_version_then_the_shard():
    order = [(9, 9, True), (1, 0, False), (1, 5, False), (2, 0, False)]
    assert [revision(*row) for row in order] == sorted(revision(*row) for row in order)
