"""Blocks of rows as files that no table refers to yet."""

import pyarrow as pa
import pytest

from craft_ray.core.errors import RunError
from craft_ray.tables import identity
from craft_ray.tables.blocks import best, partitions
from craft_ray.tables.ledger import entries


def test_of_entries_with_one_id_the_deletion_counts_then_the_highest_revision_then_the_last():
    ids = [1, 1, 2, 2, 3, 3, 4]
    revisions = [5, 6, 8, 7, 4, 4, 1]
    deleted = [False, False, False, True, False, False, False]
    assert best(entries(ids, ids, revisions, deleted)).tolist() == [1, 3, 5, 6]


def test_two_documents_with_one_id_hash_end_the_run():
    keys = [identity.key(name, "content", "model") for name in ("one", "one", "other")]
    assert best(entries([7, 7], keys[:2], [1, 1], [False, False])).tolist() == [1]
    with pytest.raises(RunError, match="two documents have the same id hash"):
        best(entries([7, 7], keys[1:], [1, 1], [False, False]))


def test_each_row_is_in_the_one_partition_of_its_values_also_where_one_is_null():
    rows = pa.table({"label": ["Cell", "Cell", "Taxon", "Cell"], "year": [2000, None, None, 2001], "at": range(4)})
    found = [(tuple(values.values()), part["at"].to_pylist()) for values, part in partitions(rows, ["label", "year"])]
    assert sorted(found, key=str) == [
        (("Cell", 2000), [0]),
        (("Cell", 2001), [3]),
        (("Cell", None), [1]),
        (("Taxon", None), [2]),
    ]
