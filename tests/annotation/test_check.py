"""`annotate --check`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from craft_ray.annotation import check
from craft_ray.annotation.inputs import Inputs
from craft_ray.cli.app import app
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from tests.conftest import SAMPLE

TABLE = "<table-wrap><table><tr><td>0.31</td><td>0.4</td></tr></table></table-wrap>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "Pax6 in mice"}\n{"id": "2", "text": ""}\n')
    (tmp_path / "b.jsonl").write_text('{"_id": "1", "contents": "Pax6"}\n')
    front = "<front><article-meta><abstract><p>Of mice.</p></abstract></article-meta></front>"
    (tmp_path / "c.nxml").write_text(f"<article>{front}<body>{TABLE}</body></article>")
    (tmp_path / "d.txt").write_text("41576520\n41576521\n")
    (tmp_path / "e.md").write_text("not input")
    (tmp_path / "f.nbib").write_text("PMID- 7\nTI  - Pax6.\n")
    return tmp_path


def checked(folder: Path, **settings) -> dict[str, dict]:
    result = check.check(Inputs([str(folder)]), Settings(**settings))
    return {Path(file["file"]).name: file for file in result["files"]} | {"all": result}


def test_content_of_each_file(folder: Path):
    found = checked(folder)
    assert {name: file["format"] for name, file in found.items() if name != "all"} == {
        "a.jsonl": "jsonl", "b.jsonl": "jsonl", "c.nxml": "jats", "d.txt": None, "f.nbib": "medline",
    }  # fmt: skip
    assert (found["a.jsonl"]["documents"], found["a.jsonl"]["rejected"]) == (1, {"empty_text": 1})
    assert found["a.jsonl"]["words"] == {"text": 3}
    assert found["b.jsonl"]["columns"] == {"id": "_id", "text": ["contents"]}
    assert (found["c.nxml"]["words"], found["c.nxml"]["left_out"]) == ({"abstract": 2}, {"tables": 2})
    assert "list of PMIDs" in found["d.txt"]["problem"]
    assert found["f.nbib"]["titles_alone"] == 1
    assert found["all"]["files_passed_over"] == 1


def test_ids_in_several_files(folder: Path):
    assert checked(folder)["all"]["such_ids"] == ["1"]
    assert checked(folder, id_prefix="shard")["all"]["such_ids"] == []


def test_large_inputs_are_sampled(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(check, "DOCUMENTS", 1)
    monkeypatch.setattr(check, "FILES", 2)
    found = checked(folder)
    assert found["all"]["files_found"] == 5
    assert len(found["all"]["files"]) == 2
    assert [file["whole"] for file in found["all"]["files"]].count(False) == ("a.jsonl" in found)


def test_lists_of_files_and_of_deletions(folder: Path, tmp_path: Path):
    (tmp_path / "files.tsv").write_text(f"{folder}/a.jsonl\n")
    (tmp_path / "gone").write_text("7\n8\n")
    lists = ["--inputs-from", str(tmp_path / "files.tsv"), "--deleted-from", str(tmp_path / "gone")]
    done = CliRunner().invoke(app, ["annotate", *lists, "--check", "--json"], catch_exceptions=False)
    files = {Path(file["file"]).name: file for file in json.loads(done.stdout)["files"]}
    assert {name: (file["documents"], file["deleted"]) for name, file in files.items()} == {
        "a.jsonl": (1, 0),
        "gone": (0, 2),
    }


def test_the_command_needs_no_output(folder: Path):
    done = CliRunner().invoke(app, ["annotate", str(folder), "--check"])
    assert done.exit_code == 0
    assert done.output.startswith(f"files in {folder}\n")
    listed = [line.split()[0] for line in done.output.splitlines()]
    assert "--id-prefix shard" in done.output
    done = CliRunner().invoke(app, ["annotate", str(folder), "--check", "--json", "--include", "tables"])
    files = {Path(file["file"]).name: file for file in json.loads(done.output)["files"]}
    assert files.keys() <= set(listed)
    assert files["c.nxml"]["words"] == {"abstract": 2, "table": 2}
    assert not list(folder.glob("entities"))


def test_a_run_needs_an_output():
    with pytest.raises(SettingsError, match="--output is missing"):
        CliRunner().invoke(app, ["annotate", str(SAMPLE)], catch_exceptions=False)
