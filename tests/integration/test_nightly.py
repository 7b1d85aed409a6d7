"""Nightly runs over a folder that grows: status, exit codes, kept versions, changes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

import craft_ray
from craft_ray.annotation.ground import ground
from craft_ray.annotation.run import annotate
from craft_ray.cli.progress import read_share
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.settings import Settings
from tests.conftest import SAMPLE
from tests.support.ontologies import obo_file
from tests.support.outputs import assert_consistent, document_rows, table
from tests.support.pubmed import citation, deletion, pubmed_file

pytestmark = pytest.mark.integration

MODEL = "stand-in"


def nightly(folder: Path | str, output: Path, **settings: Any) -> dict[str, Any]:
    return craft_ray.annotate(str(folder), str(output), model=MODEL, keep_versions=5, **settings)


def counts(summary: dict[str, Any]) -> dict[str, int]:
    return {name: n for name, n in summary["documents"].items() if n and name != "found"}


def test_a_moved_folder_is_the_same_corpus(local_ray: None, tmp_path: Path):
    """Documents without ids, one of them broken and mended after the move."""
    folder, output = tmp_path / "here" / "notes", tmp_path / "out"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("A mouse.")
    (folder / "b.jsonl").write_text('{"text": "A rat."}\n{broken\n')
    assert counts(nightly(folder, output)) == {"annotated": 2, "rejected": 1}
    before = document_rows(output, without=("shard",))
    assert [row["doc_id"] for row in before] == ["notes/a.txt", "notes/b.jsonl#1", "notes/b.jsonl#2"]

    (tmp_path / "there").mkdir()
    folder = folder.rename(tmp_path / "there" / "notes")
    moved = nightly(f"{folder}/*", output)
    assert (moved["status"], counts(moved)) == ("nothing_new", {"unchanged": 3})
    assert document_rows(output, without=("shard",)) == before

    (folder / "b.jsonl").write_text('{"text": "A rat."}\n{"text": "Yeast."}\n')
    nightly(folder, output)
    assert {row["doc_id"]: row["status"] for row in document_rows(output)} == dict.fromkeys(
        ("notes/a.txt", "notes/b.jsonl#1", "notes/b.jsonl#2"), "annotated"
    )


def test_a_run_completes_a_trial_with_a_limit(local_ray: None, tmp_path: Path):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.jsonl").write_text("".join(f'{{"id": "{name}{n}", "text": "A mouse."}}\n' for n in range(5)))
    (folder / "c.txt").write_text("A rat.")
    trial = nightly(folder, output, limit=3)
    assert (counts(trial), trial["shards"]["cut_short"]) == ({"annotated": 7}, 2)
    assert trial["adds_up"]
    rest = nightly(folder, output)
    assert (counts(rest), rest["shards"]["known"]) == ({"annotated": 4, "unchanged": 7}, 1)
    again = nightly(folder, output, limit=3)
    assert (again["status"], again["shards"]["known"]) == ("nothing_new", 3)


def test_progress_within_a_file(local_ray: None, tmp_path: Path):
    notes, shares = tmp_path / "notes.jsonl", set()
    lines = (json.dumps({"id": str(n), "text": "mice", "note": "x" * 1000}) for n in range(1500))
    notes.write_text("\n".join(lines))
    chosen = Settings(model=MODEL, block_mb=0.2)
    annotate([str(notes)], str(tmp_path / "out"), chosen, lambda account: shares.add(read_share(account)))
    assert any(0 < share < 1 for share in shares)
    assert max(shares) == 1


def test_pubmed_nights(local_ray: None, command, tmp_path: Path):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    first = [citation(1, "Mice and rats"), citation(2, "Mice"), citation(3, "Yeast")]
    pubmed_file(folder / "pubmed26n0001.xml", *first)
    night = nightly(folder, output)
    assert (night["status"], counts(night)) == ("complete", {"annotated": 3})

    update = [citation(1, "Worms", version=2), citation(4, "Mice in mice"), deletion(2, 9)]
    pubmed_file(folder / "pubmed26n0002.xml", *update)
    night = nightly(folder, output)
    assert (night["status"], counts(night)) == ("complete", {"annotated": 2, "deleted": 2, "unchanged": 3})
    revised = document_rows(output, without=("shard",))

    night = nightly(folder, output)
    assert (night["status"], counts(night)) == ("nothing_new", {"unchanged": 7})

    shutil.copy(folder / "pubmed26n0002.xml", folder / "pubmed26n0003.xml")
    night = nightly(folder, output)
    assert (night["status"], counts(night)) == ("nothing_new", {"unchanged": 11})
    assert document_rows(output, without=("shard",)) == revised

    pubmed_file(folder / "pubmed26n0000.xml", citation(1, "Older mice"), citation(9, "Withdrawn mice"))
    night = nightly(folder, output)
    assert (night["status"], night["documents"]["superseded"]) == ("nothing_new", 2)
    assert document_rows(output, without=("shard",)) == revised
    assert_consistent(output)

    listed = command("runs", output, "--json").summary
    assert [len(listed), listed[-1]["status"]] == [5, "complete"]
    assert "nothing_new" in command("runs", output).stdout
    changes = command("diff", output, "--from", listed[-1]["run_id"], "--json").summary
    assert changes["documents"]["examples"] == {
        "added": ["PMID:4"],
        "revised": ["PMID:1"],
        "deleted": ["PMID:2"],
        "deleted_unseen": ["PMID:9"],
    }
    assert "withdrawn by their publisher: PMID:2" in command("diff", output, "--from", listed[-1]["run_id"]).stdout

    assert command("compact", output, "--partition-by", "label,year").code == 0
    pubmed_file(folder / "pubmed26n0001.xml", citation(5, "Mice in mice", year=2025))
    night = nightly(folder, output, prune=True, max_pruned=1)
    assert (night["documents"]["annotated"], night["documents"]["deleted"]) == (1, 1)
    assert [row["doc_id"] for row in document_rows(output)] == [f"PMID:{pmid}" for pmid in (1, 2, 4, 5, 9)]
    assert list((output / "entities").glob("label=*/year=2025/*.parquet")), "runs keep the partitions"
    assert_consistent(output)


def test_status_and_exit_code_of_rejected_documents(local_ray: None, command, tmp_path: Path):
    notes, output = tmp_path / "notes.jsonl", tmp_path / "out"
    notes.write_text('{"id": "a", "text": "A mouse."}\n{broken\n')
    annotate = ("annotate", notes, "--model", MODEL, "--json", "--output")
    done = command(*annotate, output)
    assert (done.code, done.summary["status"]) == (0, "partly_rejected")
    done = command(*annotate, tmp_path / "strict", "--fail-on-rejected")
    assert (done.code, done.summary["status"], done.summary["documents"]["annotated"]) == (5, "partly_rejected", 1)
    assert "1 document was rejected" in done.stderr

    broken, new = tmp_path / "broken.xml", tmp_path / "new.xml"
    broken.write_text("<PubmedArticleSet><PubmedArticle>")
    done = command("annotate", broken, "--model", MODEL, "--output", output)
    assert done.code == 5, "without the option too, since nothing was annotated"
    both = (*annotate, output, broken, "--fail-on-rejected")
    assert command(*both).code == 0, "an earlier run has reported them"
    new.write_text("<PubmedArticleSet><PubmedArticle>")
    done = command(*both, new)
    assert done.code == 5
    assert "and 2 shards are broken" in done.stderr


def test_a_failure_is_in_the_summary_and_the_record(local_ray: None, command, tmp_path: Path):
    notes, output = tmp_path / "notes.jsonl", tmp_path / "out"
    notes.write_text('{"id": "good", "text": "A mouse."}\n' + "{broken\n" * 150)
    done = command("annotate", notes, "--model", MODEL, "--output", output, "--json")
    assert (done.code, done.summary["status"]) == (1, "failed")
    assert "150 of 151 documents were rejected" in done.summary["error"]
    assert done.summary["documents"]["rejected"] == 150
    (record,) = command("runs", output, "--json").summary
    assert (record["status"], record["error"]) == ("failed", done.summary["error"])
    done = command("annotate", notes, "--output", output, "--model", "/no/such", "--json")
    assert (done.code, done.summary["status"]) == (2, "failed")


def test_nothing_new_starts_no_ray(local_ray: None, tmp_path: Path):
    first = craft_ray.annotate(str(SAMPLE), str(tmp_path), model=MODEL)
    assert "ray_ready" in first["timeline"]
    program = (
        "import atexit, sys; from craft_ray.cli import main; heavy = {'ray', 'pandas', 'duckdb'};"
        "atexit.register(lambda: print('imported', *heavy & sys.modules.keys(), file=sys.stderr));"
        "main()"
    )
    command = [sys.executable, "-c", program, "annotate", SAMPLE, "--output", tmp_path, "--model", MODEL, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    again = json.loads(done.stdout)
    assert (again["status"], again["documents"]["unchanged"]) == ("nothing_new", 4)
    assert "ray_ready" not in again["timeline"]
    assert done.stderr.splitlines()[-1].split() == ["imported"]
    assert_consistent(tmp_path)


def test_the_next_run_completes_tables_of_concepts(local_ray: None, tmp_path: Path):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.txt").write_text("Pax6 is expressed in the mouse eye.")
    output.mkdir()
    in_the_way = output / "ancestors"
    in_the_way.write_text("A file where a table's folder should be makes storage fail for this table alone.")
    settings = Settings(patience=1)
    with pytest.raises(RunError):
        annotate([str(folder)], str(output), settings)
    ids = {row["concept_id"] for row in table(output, "entities").to_pylist()}
    assert "NCBITaxon:10088" in ids
    in_the_way.unlink()

    assert annotate([str(folder)], str(output), settings)["status"] == "nothing_new"
    assert {row["id"] for row in table(output, "concepts").to_pylist()} >= ids
    assert {row["id"] for row in table(output, "ancestors").to_pylist()} == ids
    versions = DeltaTable(f"{output}/concepts").version()
    last = annotate([str(folder)], str(output), settings)
    record = json.loads((output / "runs" / f"{last['run_id']}.json").read_text())
    assert (record["status"], record["lexicon"]) == ("nothing_new", None), "no lexicon is loaded"
    assert DeltaTable(f"{output}/concepts").version() == versions


def test_an_output_keeps_its_ontologies(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """After `ground` with a user's ontology, runs that name none use it."""
    folder, output, mine = tmp_path / "in", tmp_path / "out", Path(obo_file(tmp_path))
    folder.mkdir()

    def night(name: str, *ontology: str) -> tuple[set[str], int]:
        """Annotate one more file; return the lexicons of all ids, and the number of warnings about another lexicon."""
        (folder / name).write_text("The zebrafish.")
        caplog.clear()
        annotate([str(folder)], str(output), Settings(model=MODEL, ontology=ontology))
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        return lexicons(), sum("another lexicon" in warning for warning in warnings)

    def lexicons() -> set[str]:
        return {row["lexicon"] for row in table(output, "entities").to_pylist()}

    (shipped,), warnings = night("a.txt")
    assert warnings == 0
    monkeypatch.chdir(tmp_path)
    ground(str(output), Settings(ontology=(mine.name,)))
    (by_mine,) = lexicons()
    assert by_mine != shipped
    monkeypatch.chdir(folder)
    assert night("b.txt") == ({by_mine}, 0)

    gone = mine.rename(tmp_path / "gone.obo")
    with pytest.raises(SettingsError, match=f"{mine}.*name another with --ontology, or .* --ontology embedded"):
        night("c.txt")
    assert len(document_rows(output)) == 2
    assert night("c.txt", "embedded") == ({by_mine, shipped}, 1)
    assert night("d.txt", str(gone))[1] == 1
