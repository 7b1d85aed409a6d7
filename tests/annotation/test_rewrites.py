"""Files of the tables written again on a real Ray: what comes of it is what comes of it in one process."""

from pathlib import Path

import pytest
import ray

from craft_ray.annotation import rewrites
from craft_ray.annotation.rewrites import run_on_cluster
from craft_ray.core.connection import ray_session
from craft_ray.core.settings import Settings
from craft_ray.tables import rewriting
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, rows


def nights(output: Path) -> Tables:
    """New documents, then revisions of some, then a compaction."""
    tables = Tables(STORAGE, str(output), "run", run_on_cluster)
    for names in ("ab", "cd", "ef"):
        tables.append([block(output, *((name, f"a mouse of {name}") for name in names))])
    new = [block(output, (name, "human"), shard=1) for name in "ace"]
    tables.replace(new, [all_of(one) for one in new])
    tables.finish(compact=True)
    return tables


@pytest.mark.integration
def test_rewrites_on_the_cluster_and_here_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nights(tmp_path / "here")
    here = []
    monkeypatch.setattr(rewrites, "LOCAL_BYTES", 0)
    monkeypatch.setattr(rewrites, "run_locally", lambda found: here.append(found) or rewriting.run_locally(found))
    with ray_session(Settings()):
        tables = nights(tmp_path / "there")
    assert not any(here)
    for name in ("entities", "documents"):
        assert rows(tmp_path / "there", name) == rows(tmp_path / "here", name)
        assert len(tables.by_name[name].files()) == 1


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rewrites, "LOCAL_BYTES", 0)
    was_there = ray.is_initialized()
    assert nights(tmp_path).counts() == {"entities": 6, "documents": 6}
    assert ray.is_initialized() == was_there, "none is started for it"
