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


def test_mistake_with_suggestion_and_position(output: str, capsys: pytest.CaptureFixture[str]):
    sql = "SELECT label,\n  count(*), mentoin FROM entities"
    assert _exit_code(lambda **options: app(["query", output, sql], **options)) == 2
    message, line, mark = capsys.readouterr().err.splitlines()
    assert message.startswith("craft-ray: the query fails: Binder Error: ")
    assert 'Candidate bindings: "mention"' in message
    assert line == "LINE 2:   count(*), mentoin FROM entities"
    assert mark.index("^") == line.index("mentoin")


def test_excerpt_has_no_control_characters(output: str, capsys: pytest.CaptureFixture[str]):
    assert _exit_code(lambda **options: app(["query", output, "SELECT \x1b[31mred"], **options)) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_sql_from_file_or_standard_input(
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


@pytest.mark.parametrize("view", ["entities", "documents", "shards", "concepts", "ancestors", "xrefs"])
def test_each_table_is_a_view(output: str, view: str):
    done = CliRunner().invoke(app, ["query", output, f"SELECT count(*) AS n FROM {view}", "--json"])
    assert (done.exit_code, set(json.loads(done.output))) == (0, {"n"})


def test_excel_safe_csv_has_no_formulas(output: str, capfdbinary: pytest.CaptureFixture[bytes]):
    sql = "SELECT unnest(['=1+1', '+a', '-a', '@a', e'\\ta', 'Pax6-/-', NULL]) AS mention, -1 AS n"
    assert _exit_code(lambda **options: app(["query", output, sql, "--csv", "--excel-safe"], **options)) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines == [
        '"mention","n"',
        *(f'"{cell}",-1' for cell in ("'=1+1", "'+a", "'-a", "'@a", "'\ta", "Pax6-/-")),
        ",-1",
    ]
    assert _exit_code(lambda **options: app(["query", output, sql, "--excel-safe"], **options)) == 2
