"""An output in Python: its tables as data frames, and SQL over them."""

from pathlib import Path

import pyarrow.dataset as ds
import pytest

import craft_ray
from craft_ray.core.errors import SettingsError
from tests.support.hostile_output import HOSTILE, write_hostile_output
from tests.support.outputs import commit, numbered_document


@pytest.fixture
def output(tmp_path: Path) -> Path:
    commit(tmp_path / "tables", [numbered_document(number) for number in range(5)])
    return tmp_path / "tables"


def test_tables_are_data_frames_of_the_rows_and_columns_asked_for(output: Path):
    opened = craft_ray.open(output)
    assert len(opened.documents) == 5
    frame = opened.entities.to_pandas(["mention", "label"], ds.field("label") == "Taxon")
    assert list(frame.columns) == ["mention", "label"]
    assert set(frame["label"]) == {"Taxon"}
    assert len(frame) == opened.entities.to_arrow(where=ds.field("label") == "Taxon").num_rows > 0
    polars = opened.entities.to_polars(["mention", "label"], ds.field("label") == "Taxon")
    assert polars.rows() == list(frame.itertuples(index=False, name=None))
    assert "5 rows" in repr(opened.documents)
    assert len(opened.shards) == 0


def test_sql_takes_parameters(output: Path):
    (row,) = (
        craft_ray.open(output)
        .sql("SELECT count(*) AS n FROM documents WHERE doc_id < $id", id="PMID:000002")
        .to_pylist()
    )
    assert row == {"n": 2}


def test_no_tables_are_a_bad_setting(tmp_path: Path):
    with pytest.raises(SettingsError, match="there are no tables"):
        craft_ray.open(tmp_path)


def test_a_notebook_runs_nothing_of_what_tables_hold(tmp_path: Path):
    write_hostile_output(tmp_path / "tables")
    shown = craft_ray.open(tmp_path / "tables").entities._repr_html_()
    assert "&lt;script&gt;" in shown
    assert not {"<script>", "<img", "\x1b", HOSTILE} & {
        part for part in ("<script>", "<img", "\x1b", HOSTILE) if part in shown
    }
