"""The rows of the table `shards` that a run needs."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from hypothesis import given as for_all
from hypothesis import strategies as st

from craft_ray.annotation.catalogue.shard_names import ROWS, name_shards, rows_needed
from craft_ray.storage.shards import Listing, files_table
from craft_ray.tables.writer import latest_per_shard

folders, paths = st.sampled_from(["/x/", "/y/", "/z/in/"]), st.sampled_from(["a", "b", "in/a", "in/b"])
addresses = st.builds(str.__add__, folders, paths)

rows_of_shards = st.fixed_dictionaries(
    {
        "shard": addresses,
        "size": st.integers(1, 2),
        "tag": st.just("tag"),
        "run_id": st.sampled_from(["1", "2", "3"]),
        "named": st.one_of(paths, addresses),
        "duplicates": st.lists(st.integers(0, 9), max_size=1),
    }
)

listed_files = st.lists(
    st.tuples(folders, paths, st.integers(1, 2), st.booleans()), min_size=1, unique_by=lambda file: file[0] + file[1]
).filter(lambda files: any(to_read for *_, to_read in files))


@for_all(
    st.lists(rows_of_shards, max_size=12, unique_by=lambda row: (row["shard"], row["run_id"])),
    listed_files,
    st.sets(addresses),
)
def test_needed_rows_give_the_same_names_as_all_rows(
    rows: list[dict[str, object]], files: list[tuple[str, str, int, bool]], there: set[str]
):
    listing = Listing(files_table((folder + path, size, "tag", len(folder), "") for folder, path, size, _ in files))
    to_read = np.array([wanted for *_, wanted in files], np.bool_)
    table = pa.Table.from_pylist(rows, ROWS)

    def stream() -> Iterator[pa.RecordBatch]:
        yield from table.to_batches(5)

    every, some = latest_per_shard(table), latest_per_shard(rows_needed(stream, listing, to_read))
    named, with_all = (
        name_shards(listing.shards(np.flatnonzero(to_read)), listing.index, held, there.__contains__).to_pylist()
        for held in (some, every)
    )
    assert named == with_all
    restating = [row for row in every.to_pylist() if row["duplicates"]]
    assert [row for row in some.to_pylist() if row["duplicates"]] == restating
    assert all(row in every.to_pylist() for row in some.to_pylist())


def test_few_rows_of_other_files_are_needed():
    listing = Listing(files_table((f"in/{number}.xml", 9, "tag", 0, "") for number in range(100)))
    rows = [{"shard": f"in/{number}.xml", "named": f"in/{number}.xml", "duplicates": []} for number in range(100)]
    rows[7]["duplicates"] = [1]
    rows += [{"shard": "old/3.xml", "named": "in/3.xml"}, {"shard": "in/moved.xml", "named": "4.xml"}]
    batches = pa.Table.from_pylist(rows, ROWS).to_batches()
    found = rows_needed(lambda: batches, listing, np.arange(100) == 3)
    assert found["shard"].to_pylist() == ["in/3.xml", "in/7.xml", "old/3.xml"]
