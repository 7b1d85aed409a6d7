"""Hashes and orders that mean the same for one document and for many."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from craft_ray.core.schema import Document
from craft_ray.tables.identity import IdHasher, content_hash, revision, revisions

documents = st.lists(st.tuples(st.integers(-5, 2**31 - 1), st.integers(0, 2**31 - 1), st.booleans()), max_size=20)


@given(documents)
@example([(2**31 - 1, 0, False), (2**31 - 2, 2**31 - 1, False), (2**31 - 1, 7, True)])
def test_revisions_equal_revision(given):
    version, shard, rejected = (
        np.array([row[i] for row in given], t) for i, t in enumerate((np.int32, np.int32, bool))
    )
    assert revisions(version, shard, rejected).tolist() == [revision(*row) for row in given]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_hashes_equal_hash(ids):
    hasher = IdHasher(b"secret")
    assert hasher.hashes(ids).tolist() == [hasher.hash(doc_id) for doc_id in ids]


def test_order_of_revisions():
    order = [(9, 9, True), (1, 0, False), (1, 5, False), (2, 0, False)]
    assert [revision(*row) for row in order] == sorted(revision(*row) for row in order)


def test_order_of_metadata_does_not_matter():
    one, other = ({name: name for name in names} for names in (("doi", "mesh"), ("mesh", "doi")))
    hashes = {content_hash(Document("a", "A mouse", (), metadata=metadata)) for metadata in (one, other)}
    assert [len(bytes.fromhex(content)) for content in hashes] == [16]
