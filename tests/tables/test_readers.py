"""What other tools see of an output during a run, after it was killed, and at rest."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import polars
import pytest

from craft_ray.report.queries import first_entities
from craft_ray.tables.delta import CHECKPOINT_AFTER
from craft_ray.tables.numbers import next_number
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, open_tables, rows

RUN, LATER = "20260101T000000-00000000", "20260102T000000-00000000"
REVISED = [("a", "human"), ("b", "rat")]


def by_deltalake(output: Path) -> list[tuple[str, str]]:
    return [(name, mention) for name, mention, _ in rows(output, "entities")]


def by_polars(output: Path) -> list[tuple[str, str]]:
    return sorted(polars.read_delta(str(output / "entities")).select("doc_id", "mention").rows())


def by_our_own_commands(output: Path) -> list[tuple[str, str]]:
    found = open_tables(output).entities.to_arrow(["doc_id", "mention"])
    return sorted((row["doc_id"], row["mention"]) for row in found.to_pylist())


def by_plain_files(output: Path) -> list[tuple[str, str]]:
    files = f"{output}/entities/label=*/*.parquet"
    return duckdb.sql(f"SELECT doc_id, mention FROM read_parquet('{files}') ORDER BY ALL").fetchall()


DELTA = [by_deltalake, by_polars, by_our_own_commands]
Reader = Callable[[Path], list[tuple[str, str]]]


@pytest.fixture
def running(tmp_path: Path) -> Tables:
    """A run that has replaced one document, and written another without committing it."""
    tables = Tables(STORAGE, str(tmp_path), RUN)
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"), run_id=RUN)])
    new = block(tmp_path, ("a", "human"), shard=1, run_id=RUN)
    tables.replace([new], [all_of(new)])
    block(tmp_path, ("c", "fly"), run_id=RUN)
    return tables


@pytest.mark.parametrize("reader", DELTA)
def test_delta_readers_during_a_run(running: Tables, tmp_path: Path, reader: Reader):
    assert reader(tmp_path) == REVISED
    assert by_plain_files(tmp_path) != REVISED


@pytest.mark.parametrize("reader", [*DELTA, by_plain_files])
@pytest.mark.parametrize("killed", [False, True])
def test_all_readers_at_rest(running: Tables, tmp_path: Path, reader: Reader, killed: bool):
    """After the run, or after the next one if it was killed."""
    (Tables(STORAGE, str(tmp_path), LATER) if killed else running).finish(compact=True)
    assert reader(tmp_path) == REVISED


def test_no_checkpoint_in_entities(tmp_path: Path):
    """It would match `entities/*/*.parquet`."""
    for night in range(12):
        tables = Tables(STORAGE, str(tmp_path), f"202601{night + 1:02}T000000-00000000")
        tables.append([block(tmp_path, (f"{night}", "mouse"))])
        tables.finish(compact=True)
    assert tables.entities.version > CHECKPOINT_AFTER
    assert list(tmp_path.glob("documents/_delta_log/*.checkpoint.parquet"))
    assert not list(tmp_path.glob("entities/_delta_log/*.checkpoint.parquet"))


def test_our_commands_between_two_commits(running: Tables, tmp_path: Path):
    """Other readers see entities without documents until the second commit, or the next run."""
    late = block(tmp_path, ("d", "worm"), run_id=RUN)
    running.entities.commit_files(late.entities, next_number(running.documents.pair))
    assert by_our_own_commands(tmp_path) == REVISED
    with open_tables(tmp_path).connect("entities", "documents") as connection:
        assert first_entities(connection, 10)["doc_id"].to_pylist() == ["a", "b"]
    assert by_polars(tmp_path) == [*REVISED, ("d", "worm")]


def test_plain_files_include_kept_states(running: Tables, tmp_path: Path):
    kept = running.versions()
    new = block(tmp_path, ("b", "worm"), shard=2, run_id=RUN)
    running.replace([new], [all_of(new)])
    running.finish(compact=True, kept=[kept])
    assert by_polars(tmp_path) == [("a", "human"), ("b", "worm")]
    assert len(by_plain_files(tmp_path)) > 2
    assert open_tables(tmp_path, str(kept["documents"])).documents.rows
