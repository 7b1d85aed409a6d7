"""An output in Python: its tables as data frames, and SQL over them."""

from pathlib import Path

import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

import craft_ray
from craft_ray.annotation.concepts import write_concepts
from craft_ray.core.errors import SettingsError
from craft_ray.tables.writer import Tables
from tests.support.hostile_output import HOSTILE, write_hostile_output
from tests.support.ontologies import grounder
from tests.support.outputs import STORAGE, commit, numbered_document


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


def test_concepts_are_tables_and_views_too(tmp_path: Path):
    commit(tmp_path, [numbered_document(number) for number in range(5)], grounder=(by := grounder()))
    assert len(craft_ray.open(tmp_path).concepts) == 0
    write_concepts(Tables(STORAGE, str(tmp_path)), by.lexicon)
    opened = craft_ray.open(tmp_path, at=DeltaTable(str(tmp_path / "documents")).version())
    assert "Mus musculus" in opened.concepts.to_pandas()["name"].tolist()
    asked = (
        "SELECT DISTINCT name FROM entities JOIN ancestors ON concept_id = id JOIN concepts ON ancestor = concepts.id"
    )
    assert "Mus musculus" in opened.sql(asked)["name"].to_pylist()


def test_arguments_of_another_kind_are_told_by_name_before_anything_is_done(tmp_path: Path):
    for told, call in (
        ("inputs: a path or several, not int", lambda: craft_ray.annotate(5, tmp_path)),
        ("inputs: a path is a str or a pathlib.Path, not NoneType", lambda: craft_ray.annotate([None], tmp_path)),
        ("output: a path is a str or a pathlib.Path, not int", lambda: craft_ray.annotate("in", 5)),
        ("settings: a craft_ray.Settings, not dict", lambda: craft_ray.annotate("in", tmp_path, {"replicas": 1})),
        ("settings: a craft_ray.Settings, not str", lambda: craft_ray.open(tmp_path, settings="craft-ray.yaml")),
        ("output: a path is a str or a pathlib.Path, not list", lambda: craft_ray.open([tmp_path])),
    ):
        with pytest.raises(TypeError, match=f"^{told}"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_the_package_names_its_parts_for_completion():
    assert set(craft_ray.__all__) <= set(dir(craft_ray))
    assert all(getattr(craft_ray, name) is not None for name in dir(craft_ray))
    assert "entities" in dir(craft_ray.Output)


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
