"""Ids anew over tables: other ids for the same mentions, in one commit, from where a killed run stopped."""

from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from craft_ray.annotation import ground as module
from craft_ray.annotation.ground import ground
from craft_ray.core.errors import OutputBusyError, RunError, SettingsError
from craft_ray.core.settings import Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import hold_lease
from tests.support.ontologies import OBO, grounder, no_lexicon_ships, obo_file  # noqa: F401  # a fixture
from tests.support.outputs import STORAGE, WORDS, assert_consistent, commit, document_rows, numbered_document, table

pytestmark = pytest.mark.usefixtures("no_lexicon_ships")
DOCUMENTS = [numbered_document(n) for n in range(30)]
NEWER = OBO.replace("NCBITaxon:10090", "NCBITaxon:10088").replace("2026-01-01", "2026-02-01")


def rows(output: Path, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[name] for name in columns) for row in table(output, "entities").to_pylist())


MENTION = ("doc_id", "section", "start", "end", "label", "mention", "score", "sentence_start", "run_id", "block_id")


def settings(tmp_path: Path, text: str = NEWER, **others: Any) -> Settings:
    folder = tmp_path / "ontologies"
    folder.mkdir(exist_ok=True)
    return Settings(ontology=(obo_file(folder, text),), **others)


def test_all_ids_change_and_nothing_else_does(tmp_path: Path):
    output = tmp_path / "out"
    for at in range(0, 30, 10):
        commit(output, DOCUMENTS[at : at + 10], grounder=grounder())
    mentions, documents = rows(output, *MENTION), document_rows(output)
    summary = ground(str(output), settings(tmp_path))
    assert_consistent(output)
    assert rows(output, *MENTION) == mentions
    assert document_rows(output) == documents
    ids = dict(rows(output, "mention", "concept_id"))
    assert ids["mouse"] == "NCBITaxon:10088"
    assert ids["Pax6"] == "PR:000012318"
    assert {mark for (mark,) in rows(output, "lexicon")} == {summary["lexicon"]["fingerprint"][:16]}
    assert {row["id"] for row in table(output, "concepts").to_pylist()} >= {"NCBITaxon:10088"}
    assert summary["entities"] == len(mentions)


def test_done_again_it_changes_nothing(tmp_path: Path):
    output = tmp_path / "out"
    commit(output, DOCUMENTS)
    ground(str(output), settings(tmp_path))
    before = DeltaTable(f"{output}/entities").file_uris()
    assert ground(str(output), settings(tmp_path))["status"] == "nothing_new"
    assert DeltaTable(f"{output}/entities").file_uris() == before


def test_a_table_without_ids_gets_them(tmp_path: Path):
    output = tmp_path / "out"
    commit(output, DOCUMENTS)
    ground(str(output), settings(tmp_path))
    assert dict(rows(output, "mention", "concept_id"))["mouse"] == "NCBITaxon:10088"


@pytest.mark.parametrize("keep_text", [True, False])
def test_the_text_of_documents_is_asked_where_it_is_kept(tmp_path: Path, keep_text: bool):
    output = tmp_path / "out"
    commit(output, DOCUMENTS, keep_text=keep_text)
    longer = "".join(f"\n[Term]\nid: NCBITaxon:{n}\nname: {word} yeast\n" for n, word in enumerate(WORDS, 1))
    ground(str(output), settings(tmp_path, OBO.replace('"yeast"', '"fungus"') + longer))
    found = {match for mention, match in rows(output, "mention", "concept_match") if mention == "yeast"}
    assert ("context" in found) == keep_text


class Dies(Storage):
    """Storage that fails at the third file that is written below `entities`."""

    left = 2

    def write_bytes(self, url: str, content: bytes) -> None:
        if "/ground-" in url:
            Dies.left -= 1
            if Dies.left < 0:
                raise RunError("killed")
        super().write_bytes(url, content)


def test_a_killed_run_leaves_ids_as_they_were_and_the_next_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = tmp_path / "out"
    for at in range(0, 30, 10):
        commit(output, DOCUMENTS[at : at + 10], grounder=grounder())
    before = rows(output, *MENTION, "concept_id")
    with monkeypatch.context() as patched:
        patched.setattr(module, "Storage", Dies)
        with pytest.raises(RunError, match="killed"):
            ground(str(output), settings(tmp_path, compact=False))
    assert rows(output, *MENTION, "concept_id") == before
    done = {path: path.stat().st_mtime_ns for path in output.rglob("ground-*.parquet")}
    assert len(done) == 2
    ground(str(output), settings(tmp_path, compact=False))
    assert dict(rows(output, "mention", "concept_id"))["mouse"] == "NCBITaxon:10088"
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert_consistent(output)


def test_not_while_a_run_is_at_work(tmp_path: Path):
    output = tmp_path / "out"
    commit(output, DOCUMENTS)
    with (
        hold_lease(STORAGE, str(output)),
        pytest.raises(OutputBusyError),
    ):
        ground(str(output), settings(tmp_path))


def test_without_any_lexicon_it_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError, match="--ontology"):
        ground(str(tmp_path), Settings())
