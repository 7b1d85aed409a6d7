"""Hostile documents, file names and ids: each command ends well and prints no control characters."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from craft_ray.annotation.account import Account, summarize
from craft_ray.cli.annotate import print_summary
from craft_ray.cli.app import app
from craft_ray.cli.console import console
from tests.support.hostile_output import HOSTILE, write_hostile_output

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NAME = "notes[i] [bold]x \x1b[31m\u202e.jsonl"
MARKUP = "notes[/i].pdf [bold]x[/bold] :smile:"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hostile") / "tables"
    write_hostile_output(folder)
    return str(folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "OUT"),
        ("show", "PMID:2", "--in", "OUT", "--scores"),
        ("show", "bad", "--in", "OUT"),
        ("top", "OUT"),
        ("pairs", "OUT", "--labels", "Protein,Protein", "--at-least", "1"),
        ("query", "OUT", "SELECT * FROM documents"),
        ("query", "OUT", "SELECT * FROM shards"),
        ("rejected", "OUT"),
        ("rejected", "OUT", "--retry"),
        ("runs", "OUT"),
        ("diff", "OUT", "--from", "0"),
        ("report", "OUT", "--html", "NEW/page.html", "--title", HOSTILE.replace("\x00", "")),
        ("export", "OUT", "NEW", "--to", "jsonl"),
        ("ground", "OUT"),
        ("compact", "OUT"),
        ("show", "IN"),
        ("annotate", "IN", "--check"),
        ("annotate", "IN", "--dry-run", "--output", "NEW"),
    ],
    ids=lambda arguments: " ".join(part for part in arguments if part.isascii() and len(part) < 20),
)
def test_no_control_characters(
    output: str, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CRAFT_RAY_MODEL", "stand-in")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / NAME).write_text(json.dumps({"id": HOSTILE, "text": f"A mouse {HOSTILE}"}) + "\n{broken")
    paths = {"OUT": output, "IN": str(tmp_path / "in"), "NEW": str(tmp_path / "new")}
    done = CliRunner().invoke(app, [paths.get(part, part.replace("NEW", paths["NEW"])) for part in arguments])
    assert done.exit_code == 0, done.exception
    assert done.output.strip()
    assert not OBEYED.search(done.output)


def test_json_is_unchanged(output: str):
    done = CliRunner().invoke(app, ["rejected", output, "--json"])
    assert {row["detail"] for row in json.loads(done.output)} == {HOSTILE}


def test_summary_without_markup(capsys: pytest.CaptureFixture[str]):
    account = Account(ignored_files=pa.array([MARKUP], pa.large_string()))
    account.committed.labels[MARKUP] = 1
    summary = summarize(account) | {"tables": {MARKUP: HOSTILE}}
    summary["model"] = {"label_descriptions": {MARKUP: {"meaning": HOSTILE}}}
    summary["shards"] |= {"broken": {MARKUP: HOSTILE}, "unreadable": 1}
    print_summary(console(), summary)
    printed = capsys.readouterr().out
    assert printed.count(MARKUP) == 4
    assert not OBEYED.search(printed)


def test_query_cannot_touch_other_files(output: str, tmp_path: Path):
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    for sql in (
        f"SELECT * FROM read_csv('{tmp_path}/secret.csv')",
        f"SELECT * FROM '{tmp_path}/secret.csv'",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/new.duckdb'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT * FROM output",
    ):
        done = CliRunner().invoke(app, ["query", output, sql])
        assert done.exit_code != 0, sql
        assert "the query fails" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_nearest_names(output: str):
    for arguments, text in [
        (
            ["top", output, "--label", "Protien"],
            "the tables hold no label Protien, only Protein, Taxon; did you mean Protein?",
        ),
        (["top", output, "--by", "mention"], "choose mentions, documents or year; did you mean mentions?"),
        (["rejected", output, "--reason", "bad_xlm"], "did you mean bad_xml?"),
        (["export", output, f"{output}/../x", "--to", "bioc_xml"], "did you mean bioc-xml?"),
        (["show", "2", "--in", output], "did you mean PMID:2?"),
        (["runs", f"{output}x"], "no run has written to"),
        (["runs", f"{output}x"], "did you mean tables?"),
        (["top", f"{output}x"], "did you mean tables?"),
        (["top", f"{output}/documents"], "there are no tables in"),
        (["annotate", f"{output}x", "-o", f"{output}/../o", "--check"], "does not exist; did you mean tables?"),
        (["export", output, f"{output}/../x", "--to", "csv", "--doc-id", "PMID:22"], "no document PMID:22 in"),
        (["export", output, f"{output}/../x", "--to", "csv", "--doc-id", "PMID:22"], "did you mean PMID:2?"),
        (["diff", output, "--from", "20260101T000001"], "did you mean 20260101T000000-aaaa?"),
    ]:
        assert text in str(CliRunner().invoke(app, arguments).exception)
