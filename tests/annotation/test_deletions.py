"""`--deleted-from`: the documents of a list are deleted, whichever run has annotated them, unless they are too many."""

from pathlib import Path
from typing import Any

import pytest

from craft_ray.annotation.run import annotate
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from tests.support.local_run import without_ray
from tests.support.outputs import assert_consistent, document_rows
from tests.support.pubmed import citation, pubmed_file


def night(folder: Path, max_pruned: float = 0.05) -> dict[str, int]:
    """Annotate what is in a folder and delete what is in a list; return how many documents are in each count."""
    settings = Settings(model="stand-in", concepts=False, max_pruned=max_pruned)
    with without_ray():
        summary = annotate([f"{folder}/in"], f"{folder}/out", settings, deleted_from=f"{folder}/gone.txt")
    assert_consistent(folder / "out")
    return {name: n for name, n in summary["documents"].items() if n and name != "found"}


def statuses(folder: Path) -> dict[str, Any]:
    return {row["doc_id"]: row["status"] for row in document_rows(folder / "out")}


def test_listed_documents_are_deleted(tmp_path: Path):
    folder, gone = tmp_path / "in", tmp_path / "gone.txt"
    folder.mkdir()
    pubmed_file(folder / "pubmed26n0001.xml", citation(1, "Mice and rats"), citation(2, "Mice"))
    (folder / "notes.jsonl").write_text('{"id": "note", "text": "Yeast."}\n')
    gone.write_text("9\n")
    assert night(tmp_path) == {"annotated": 3, "deleted": 1}
    gone.write_text("2\n3\n")
    assert night(tmp_path, 1) == {"deleted": 2, "unchanged": 3}
    gone.write_text("2\n3\n# withdrawn\nnote\n")
    assert night(tmp_path, 1) == {"deleted": 1, "unchanged": 5}
    pubmed_file(folder / "pubmed26n0002.xml", citation(2, "Mice again"), citation(3, "Rats"))
    assert night(tmp_path, 1) == {"unchanged": 6, "superseded": 2}
    gone = dict.fromkeys(("PMID:2", "PMID:3", "PMID:9", "note"), "deleted")
    assert statuses(tmp_path) == gone | {"PMID:1": "annotated"}


def test_a_list_of_many_documents_deletes_none(tmp_path: Path):
    (tmp_path / "in").mkdir()
    lines = (f'{{"id": "d{number}", "text": "A mouse."}}\n' for number in range(20))
    (tmp_path / "in" / "notes.jsonl").write_text("".join(lines))
    gone = tmp_path / "gone.txt"

    def deleted() -> list[str]:
        return [doc_id for doc_id, status in statuses(tmp_path).items() if status == "deleted"]

    gone.write_text("unknown\nd1\n")
    assert night(tmp_path)["annotated"] == 19, "nothing is stored yet that it could delete"
    gone.write_text("unknown\nd1\nd2\n")
    assert night(tmp_path)["deleted"] == 1, "1 of 21"
    gone.write_text("unknown\nd1\nd2\nd3\nd4\n")
    with pytest.raises(SettingsError, match=r"2 of 21 documents are in .*gone.txt, and max_pruned is 0.05: nothing"):
        night(tmp_path)
    assert deleted() == ["d1", "d2", "unknown"]
    assert night(tmp_path, 0.1)["deleted"] == 2
    assert deleted() == ["d1", "d2", "d3", "d4", "unknown"]
