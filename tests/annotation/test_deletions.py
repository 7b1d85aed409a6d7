"""`--deleted-from`: a list that would delete many documents deletes none."""

from pathlib import Path
from typing import Any

import pytest

from craft_ray.annotation.run import annotate
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from tests.support.local_run import without_ray
from tests.support.outputs import document_rows


def night(folder: Path, max_pruned: float = 0.05) -> dict[str, Any]:
    settings = Settings(model="stand-in", concepts=False, max_pruned=max_pruned)
    gone = folder / "gone.txt"
    with without_ray():
        return annotate([str(folder / "in")], str(folder / "out"), settings, deleted_from=str(gone))


def test_a_list_of_many_documents_deletes_none(tmp_path: Path):
    (tmp_path / "in").mkdir()
    lines = (f'{{"id": "d{number}", "text": "A mouse."}}\n' for number in range(20))
    (tmp_path / "in" / "notes.jsonl").write_text("".join(lines))
    gone = tmp_path / "gone.txt"

    def deleted() -> list[str]:
        return [row["doc_id"] for row in document_rows(tmp_path / "out") if row["status"] == "deleted"]

    gone.write_text("unknown\nd1\n")
    assert night(tmp_path)["documents"]["annotated"] == 19, "nothing is stored yet that it could delete"
    gone.write_text("unknown\nd1\nd2\n")
    assert night(tmp_path)["documents"]["deleted"] == 1, "1 of 21"
    gone.write_text("unknown\nd1\nd2\nd3\nd4\n")
    with pytest.raises(SettingsError, match=r"2 of 21 documents are in .*gone.txt, and max_pruned is 0.05: nothing"):
        night(tmp_path)
    assert deleted() == ["d1", "d2", "unknown"]
    assert night(tmp_path, 0.1)["documents"]["deleted"] == 2
    assert deleted() == ["d1", "d2", "d3", "d4", "unknown"]
