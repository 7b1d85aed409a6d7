"""A sample of a table stands for the whole of it."""

from pathlib import Path

import pytest
from deltalake import WriterProperties

from craft_ray.core.schema import DOCUMENTS, ENTITIES
from craft_ray.report import sampling
from craft_ray.report.sampling import TableSample, is_sorted_by_mention, sample
from craft_ray.tables.compaction import compact
from craft_ray.tables.database import database
from craft_ray.tables.snapshots import TableVersion, open_snapshot
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, append, filled

ROWS = 40_000


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A label of many rows in two files, and a rare one."""
    tables = Tables(STORAGE, str(tmp_path))
    for part in range(2):
        mentions = [f"m{(n * 7919) % 1000:03}" for n in range(ROWS)]
        labels = ["Protein" if n % 100 else "Cell" for n in range(ROWS)]
        ids = [f"D:{part}-{n:06}" for n in range(ROWS)]
        columns = {"doc_id": ids, "label": labels, "mention": mentions}
        documents = filled({"doc_id": ids[:1], "status": "annotated"}, DOCUMENTS, 1)
        append(tables, STORAGE, documents, filled(columns, ENTITIES, ROWS))
    return tmp_path


def entities(output: Path) -> TableVersion:
    return open_snapshot(STORAGE, str(output)).entities


def rows_of(part: TableSample) -> int:
    """As the database counts them."""
    with database(entities=part.dataset) as connection:
        return connection.sql("SELECT count(*) FROM entities").fetchall()[0][0]


def test_a_table_that_is_short_enough_is_read_whole(output: Path):
    part = sample(entities(output), 2 * ROWS, 0)
    assert part.exact
    assert (sum(part.rows.values()), set(part.weight.values())) == (2 * ROWS, {1.0})
    assert rows_of(part) == 2 * ROWS


def test_of_a_longer_one_whole_row_groups_are_read_and_weighted_to_the_whole(
    output: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sampling, "LEAST", 100)
    view = entities(output)
    part = sample(view, ROWS, 0)
    assert not part.exact
    totals = view.rows_by_label()
    read = part.dataset.to_table(columns=["label"])["label"].value_counts().to_pylist()
    assert {row["values"]: row["counts"] for row in read} == part.rows
    assert part.rows["Protein"] < totals["Protein"]
    assert {label: part.rows[label] * part.weight[label] for label in totals} == pytest.approx(totals)
    again = [fragment.path for fragment in sample(view, ROWS, 0).dataset.get_fragments()]
    assert again == [fragment.path for fragment in part.dataset.get_fragments()]


def test_a_rare_label_is_read_whole(output: Path):
    part = sample(entities(output), ROWS, 0)
    assert part.rows["Cell"] == 2 * ROWS // 100
    assert part.weight["Cell"] == 1.0


def test_a_table_sorted_by_mention_is_known_by_its_row_groups(output: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampling, "LEAST", 100)
    monkeypatch.setattr(sampling, "DRAWN", 1_000)
    monkeypatch.setattr("craft_ray.tables.delta.WRITER", WriterProperties(compression="ZSTD", max_row_group_size=2_000))
    known = {}
    for column in ("doc_id", "mention"):
        compact(STORAGE, str(output), sort=column)
        view = entities(output)
        part = sample(view, ROWS, 0)
        assert part.groups > 10
        assert rows_of(part) == sum(part.rows.values()) == pytest.approx(ROWS, rel=0.2)
        known[column] = is_sorted_by_mention(part, view.label)
    assert known == {"doc_id": False, "mention": True}
