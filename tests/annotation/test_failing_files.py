"""A file that fails in three runs in a row is left alone until it changes, or until it is asked for."""

from pathlib import Path
from typing import Any

import pytest

from craft_ray.annotation.run import annotate
from craft_ray.core.settings import Settings
from craft_ray.tables.reprocess import mark_for_reprocessing
from tests.support.local_run import without_ray
from tests.support.outputs import STORAGE, document_rows, table


@pytest.fixture
def list_of_files(tmp_path: Path) -> Path:
    """A list, which is believed without a look, of a file that is there and one that is not."""
    (tmp_path / "good.txt").write_text("A mouse.")
    listed = tmp_path / "list.tsv"
    listed.write_text("good.txt\t8\tv1\ngone.txt\t8\tv1\n")
    return listed


def night(listed: Path) -> tuple[str, int]:
    """The status of a run, and the failures of the file that it has recorded."""
    with without_ray():
        settings = Settings(model="stand-in", concepts=False)
        status = annotate([], str(listed.parent / "out"), settings, inputs_from=str(listed))["status"]
    rows: list[dict[str, Any]] = table(listed.parent / "out", "shards").to_pylist()
    return status, next(row["failures"] for row in rows if row["shard"].endswith("gone.txt"))


def runs(output: Path) -> set[str]:
    return {row["run_id"] for row in table(output, "shards").to_pylist() if row["shard"].endswith("gone.txt")}


def test_a_file_that_fails_three_times_is_left_alone(list_of_files: Path):
    output = list_of_files.parent / "out"
    assert [night(list_of_files) for _ in range(3)] == [("partly_rejected", number) for number in (1, 2, 3)]
    third = runs(output)
    assert night(list_of_files) == ("partly_rejected", 3)
    assert runs(output) == third, "it is not read again, but counts as broken"
    mark_for_reprocessing(STORAGE, str(output))
    assert night(list_of_files) == ("partly_rejected", 4)
    assert night(list_of_files) == ("partly_rejected", 4)
    list_of_files.write_text(list_of_files.read_text().replace("gone.txt\t8\tv1", "gone.txt\t8\tv2"))
    assert night(list_of_files) == ("partly_rejected", 1)
    (list_of_files.parent / "gone.txt").write_text("A rat...")
    assert night(list_of_files) == ("complete", 0)
    assert [row["status"] for row in document_rows(output)] == ["annotated", "annotated"]
