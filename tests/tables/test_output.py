from pathlib import Path

import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

import craft_ray
from craft_ray.annotation.concepts import write_concepts
from craft_ray.core.errors import SettingsError
from craft_ray.tables.records import RunRecord
from craft_ray.tables.writer import Tables
from tests.support.hostile_output import HOSTILE, write_hostile_output
from tests.support.ontologies import grounder
from tests.support.outputs import STORAGE, commit, finished, numbered_document, open_tables

RUNS = ("20260101T000000-aaaa", "20260102T000000-bbbb", "20260102T000000-cccc")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    commit(tmp_path / "tables", [numbered_document(number) for number in range(5)])
    return tmp_path / "tables"


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """Two runs with ten new documents each, one that found nothing new, and one that was killed."""
    for night, (run_id, status) in enumerate(zip(RUNS, ("complete", "complete", "nothing_new"), strict=True)):
        if status == "complete":
            commit(tmp_path, [numbered_document(number) for number in range(night * 10, night * 10 + 10)])
        versions = Tables(STORAGE, str(tmp_path)).versions()
        RunRecord(STORAGE, str(tmp_path), run_id).close(status, {}, [], versions)
    RunRecord(STORAGE, str(tmp_path), "20260103T000000-dddd")
    return tmp_path


def test_tables_are_data_frames(output: Path):
    tables = craft_ray.open(output)
    where = ds.field("label") == "Taxon"
    frame = tables.entities.to_pandas(["mention", "label"], where)
    assert list(frame.columns) == ["mention", "label"]
    assert set(frame["label"]) == {"Taxon"}
    assert len(frame) == tables.entities.to_arrow(where=where).num_rows > 0
    assert tables.entities.to_polars(["mention", "label"], where).rows() == list(
        frame.itertuples(index=False, name=None)
    )
    assert (len(tables.documents), len(tables.shards)) == (5, 0)
    assert "5 rows" in repr(tables.documents)
    assert tables.labels == ["Protein", "Taxon"]


def test_an_unknown_column_is_named(output: Path):
    with pytest.raises(SettingsError, match=r"the table entities has no column lable; did you mean label\?"):
        craft_ray.open(output).entities.to_pandas(["lable"])


def test_sql_takes_parameters(output: Path):
    found = craft_ray.open(output).sql("SELECT count(*) AS n FROM documents WHERE doc_id < $id", id="PMID:000002")
    assert found.to_pylist() == [{"n": 2}]


def test_optional_tables_are_empty_until_written(tmp_path: Path):
    by = grounder()
    commit(tmp_path, [numbered_document(number) for number in range(5)], grounder=by)
    before = craft_ray.open(tmp_path)
    assert [len(table) for table in (before.shards, before.concepts, before.ancestors)] == [0, 0, 0]
    write_concepts(Tables(STORAGE, str(tmp_path)), by.lexicon)
    Tables(STORAGE, str(tmp_path)).record_finished(finished("run", a=3))
    tables = craft_ray.open(tmp_path, at=DeltaTable(str(tmp_path / "documents")).version())
    assert tables.shards.to_arrow()["found"].to_pylist() == [3]
    names = "SELECT name FROM entities JOIN ancestors ON concept_id = id JOIN concepts ON ancestor = concepts.id"
    assert "Mus musculus" in tables.sql(names)["name"].to_pylist()


@pytest.mark.parametrize(("at", "documents"), [(None, 20), ("20260101", 10), ("20260102T000000-b", 20)])
def test_open_at_a_run(nights: Path, at: str | None, documents: int):
    tables = open_tables(nights, at)
    assert len(tables.documents) == tables.documents.to_arrow().num_rows == documents
    assert len(set(tables.entities.to_arrow(["doc_id"])["doc_id"].to_pylist())) == documents
    assert tables.run_id == next((run for run in RUNS if at and run.startswith(at)), None)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("20260102", "2 runs in .* are named 20260102"),
        ("last", "no runs in .* are named last"),
        ("20260103", "did not finish"),
        ("9999", "no version 9999"),
    ],
)
def test_open_at_an_unknown_state(nights: Path, at: str, message: str):
    with pytest.raises(SettingsError, match=message):
        open_tables(nights, at)


def test_run_before_last_change(nights: Path):
    assert open_tables(nights).run_before_last_change() == RUNS[0]
    for run_id in RUNS[1:]:
        (nights / "runs" / f"{run_id}.json").unlink()
    with pytest.raises(SettingsError, match="no two runs"):
        open_tables(nights).run_before_last_change()


def test_wrong_arguments_are_named(tmp_path: Path):
    for message, call in (
        ("inputs: a path or several, not int", lambda: craft_ray.annotate(5, tmp_path)),
        ("inputs: a path is a str or a pathlib.Path, not NoneType", lambda: craft_ray.annotate([None], tmp_path)),
        ("output: a path is a str or a pathlib.Path, not int", lambda: craft_ray.annotate("in", 5)),
        ("settings: a craft_ray.Settings, not dict", lambda: craft_ray.annotate("in", tmp_path, {"replicas": 1})),
        ("settings: a craft_ray.Settings, not str", lambda: craft_ray.open(tmp_path, settings="craft-ray.yaml")),
        ("output: a path is a str or a pathlib.Path, not list", lambda: craft_ray.open([tmp_path])),
    ):
        with pytest.raises(TypeError, match=f"^{message}"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_completion_lists_public_names(output: Path):
    assert set(craft_ray.__all__) <= set(dir(craft_ray))
    assert all(getattr(craft_ray, name) is not None for name in dir(craft_ray))
    assert {"entities", "documents", "shards", "sql"} <= set(dir(craft_ray.open(output)))


def test_notebook_escapes_what_tables_hold(tmp_path: Path):
    write_hostile_output(tmp_path / "tables")
    shown = craft_ray.open(tmp_path / "tables").entities._repr_html_()
    assert "&lt;script&gt;" in shown
    assert not any(part in shown for part in ("<script>", "<img", "\x1b", HOSTILE))
