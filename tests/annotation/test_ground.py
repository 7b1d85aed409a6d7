"""The command `ground` replaces all concept ids in one commit, and continues after a killed run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from craft_ray.annotation import ground as module
from craft_ray.annotation.ground import Grounding, ground, mark_of, split_by_rows
from craft_ray.concepts.loading import load_grounder
from craft_ray.core.errors import OutputBusyError, RunError, SettingsError
from craft_ray.core.settings import Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import DataFile
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.writer import Tables
from tests.support.ontologies import OBO, gene_info, grounder, no_lexicon_ships, obo_file  # noqa: F401  # a fixture
from tests.support.outputs import (
    STORAGE,
    WORDS,
    assert_consistent,
    commit,
    document_rows,
    numbered_document,
    table,
)

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


def test_only_ids_change(tmp_path: Path):
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


def test_second_run_changes_nothing(tmp_path: Path):
    output = tmp_path / "out"
    commit(output, DOCUMENTS)
    ground(str(output), settings(tmp_path))
    before = DeltaTable(f"{output}/entities").file_uris()
    assert ground(str(output), settings(tmp_path))["status"] == "nothing_new"
    assert DeltaTable(f"{output}/entities").file_uris() == before


def test_files_are_marked_with_all_that_decides_on_ids(monkeypatch: pytest.MonkeyPatch):
    one = grounder()
    marks = {mark_of(one), mark_of(replace(one, prefixes={"Taxon": ("PR",)})), mark_of(replace(one, min_score=0.5))}
    assert len(marks) == 2
    marks.add(mark_of(replace(one, scores=one.scores / 2)))
    monkeypatch.setattr(module, "RULES_VERSION", 0)
    marks.add(mark_of(one))
    assert len(marks) == 4


@pytest.mark.parametrize("keep_text", [True, False])
def test_texts_disambiguate_where_they_are_kept(tmp_path: Path, keep_text: bool):
    output = tmp_path / "out"
    commit(output, DOCUMENTS, keep_text=keep_text)
    longer = "".join(f"\n[Term]\nid: CL:{n:07}\nname: {word} yeast\n" for n, word in enumerate(WORDS, 1000))
    ground(str(output), settings(tmp_path, OBO + longer, concept_prefixes={"Taxon": ["CL"]}))
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


def test_run_continues_after_a_killed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = tmp_path / "out"
    for at in range(0, 30, 10):
        commit(output, DOCUMENTS[at : at + 10], grounder=grounder())
    before = rows(output, *MENTION, "concept_id")
    with monkeypatch.context() as patched:
        patched.setattr(module, "Storage", Dies)
        with pytest.raises(RunError, match="killed"):
            ground(str(output), settings(tmp_path, compact=False))
    assert rows(output, *MENTION, "concept_id") == before
    done, torn = output.rglob("ground-*.parquet")
    written = done.stat().st_mtime_ns
    torn.write_bytes(b"")
    ground(str(output), settings(tmp_path, compact=False))
    assert dict(rows(output, "mention", "concept_id"))["mouse"] == "NCBITaxon:10088"
    assert done.stat().st_mtime_ns == written
    assert_consistent(output)


def test_refused_while_a_run_is_at_work(tmp_path: Path):
    output = tmp_path / "out"
    commit(output, DOCUMENTS)
    with (
        hold_lease(STORAGE, str(output)),
        pytest.raises(OutputBusyError),
    ):
        ground(str(output), settings(tmp_path))


def test_refused_without_a_lexicon(tmp_path: Path):
    with pytest.raises(SettingsError, match="--ontology"):
        ground(str(tmp_path), Settings())


def test_files_are_split_by_rows():
    files = [DataFile(f"{n}", 1, 10, f"{n:04}", f"{n:04}") for n in reversed(range(1000))]
    parts = list(split_by_rows(files, 4000))
    assert [(part[0].first_id, len(part)) for part in parts] == [("0000", 400), ("0400", 400), ("0800", 200)]


def test_genes_are_of_the_species_that_other_files_name(tmp_path: Path):
    output, documents = tmp_path / "out", [numbered_document(n, step=2) for n in range(10)]
    commit(output, documents)
    genes = [gene_info(tmp_path, taxon) for taxon in (9606, 10090)]
    chosen = Settings(ontology=(obo_file(tmp_path), *genes))
    ground(str(output), chosen)
    commit(tmp_path / "annotated", documents, grounder=load_grounder(chosen, STORAGE))
    found = rows(output, "doc_id", "start", "mention", "gene_id")
    assert found == rows(tmp_path / "annotated", "doc_id", "start", "mention", "gene_id")
    assert {gene for *_, mention, gene in found if mention == "Pax6"} == {"NCBIGene:5080", "NCBIGene:18508"}
    assert {gene for *_, mention, gene in found if mention != "Pax6"} == {None}


def test_other_labels_are_not_read_without_genes(tmp_path: Path):
    commit(tmp_path, DOCUMENTS)
    proteins = [file for file in Tables(STORAGE, str(tmp_path)).entities.files() if "Protein" in file.path]
    for file in (tmp_path / "entities" / "label=Taxon").iterdir():
        file.unlink()
    by = load_grounder(settings(tmp_path), STORAGE)
    assert by is not None
    (new,) = Grounding(STORAGE, str(tmp_path), by, proteins).run()
    assert (new.rows, "ground-" in new.path) == (proteins[0].rows, True)
