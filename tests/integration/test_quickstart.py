"""The quickstart notebook runs from its first cell to its last."""

import json
from pathlib import Path

import pytest

from tests.support.commands import ROOT

pytestmark = pytest.mark.integration


def test_quickstart(local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "craft_ray").symlink_to(ROOT / "craft_ray")
    monkeypatch.chdir(tmp_path)
    cells = json.loads((ROOT / ".github" / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict = {}
    shown = []
    for cell in cells:
        if cell["cell_type"] == "code":
            *statements, last = "".join(cell["source"]).splitlines()
            exec("\n".join(statements), names)  # the notebook's own text
            shown.append(eval(last, names))
    tagged, pairs, documents, frame, counts = shown
    assert ">Pax6 <small>Protein</small></mark>" in tagged._repr_html_()
    assert ("Chemical", "glucose") in {(label, mention) for label, mention, _ in pairs}
    assert documents["annotated"] == 3
    assert list(frame.columns) == ["doc_id", "label", "mention", "score"]
    assert counts["mentions"].is_monotonic_decreasing
