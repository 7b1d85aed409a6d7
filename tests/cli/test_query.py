"""`craft-ray query`: where the SQL comes from, the views that it may ask, and a mistake in it."""

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from craft_ray.cli.app import _exit_code, app
from tests.support.outputs import commit, numbered_document


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("query") / "tables"
    commit(folder, [numbered_document(number) for number in range(5)])
    return str(folder)


def test_a_mistake_is_told_with_what_is_like_it_and_its_place(output: str, capsys: pytest.CaptureFixture[str]):
    sql = "SELECT label,\n  count(*), mentoin FROM entities"
    assert _exit_code(lambda **options: app(["query", output, sql], **options)) == 2
    sentence, line, mark = capsys.readouterr().err.splitlines()
    assert sentence.startswith("craft-ray: the query fails: Binder Error: ")
    assert 'Candidate bindings: "mention"' in sentence
    assert line == "LINE 2:   count(*), mentoin FROM entities"
    assert mark.index("^") == line.index("mentoin")


def test_a_place_in_a_query_is_text_that_no_terminal_obeys(output: str, capsys: pytest.CaptureFixture[str]):
    assert _exit_code(lambda **options: app(["query", output, "SELECT \x1b[31mred"], **options)) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_the_sql_may_come_from_a_file_or_standard_input(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "question.sql").write_text("SELECT count(*) AS n FROM documents")
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT count(*) AS n FROM documents"))
    for arguments in (["-f", str(tmp_path / "question.sql")], ["--file", "-"]):
        assert _exit_code(lambda given=arguments, **options: app(["query", output, *given, "--json"], **options)) == 0
        assert json.loads(capsys.readouterr().out) == {"n": 5}
    for arguments in ([], ["SELECT 1", "-f", "-"], ["-f", str(tmp_path / "none.sql")]):
        assert _exit_code(lambda given=arguments, **options: app(["query", output, *given], **options)) == 2
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.parametrize("view", ["entities", "documents", "shards", "concepts", "ancestors"])
def test_each_table_of_an_output_is_a_view_also_if_it_is_empty(output: str, view: str):
    done = CliRunner().invoke(app, ["query", output, f"SELECT count(*) AS n FROM {view}", "--json"])
    assert (done.exit_code, set(json.loads(done.output))) == (0, {"n"})
