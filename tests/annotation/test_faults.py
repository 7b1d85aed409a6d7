"""A run of which any read or write fails, and is run again, leaves the tables of an undisturbed one."""

import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from craft_ray.annotation.run import annotate
from craft_ray.core.errors import CraftRayError
from craft_ray.core.settings import Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables import lease
from craft_ray.tables.delta import NumberedTable
from tests.support.local_run import Faults, ProcessGone, without_ray
from tests.support.outputs import assert_consistent, document_rows, entity_rows
from tests.support.pubmed import citation, deletion, pubmed_file

CALLS = (
    (Storage, "open"),
    (Storage, "read_bytes"),
    (Storage, "entry"),
    (Storage, "entries"),
    (Storage, "files_below"),
    (Storage, "size"),
    (Storage, "modified"),
    (Storage, "publishing"),
    (Storage, "sync"),
    (Storage, "write_bytes"),
    (Storage, "create"),
    (Storage, "remove_files"),
    (Storage, "remove"),
    (NumberedTable, "commit"),
    (NumberedTable, "vacuum"),
)


def night(folder: Path, faults: Faults | None = None) -> dict[str, Any]:
    settings = Settings(model="stand-in", concepts=False, prune=True, max_pruned=1)
    with without_ray(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(lease, "_is_alive", lambda held: False)  # a process that is gone here is this very one
        for owner, name in CALLS if faults else ():
            faults.wrap(patched, owner, name)
        return annotate([str(folder / "in")], str(folder / "out"), settings)


class Nights:
    """Second nights over one output, each from the state after the first. They bring a revision, a deletion, a mended
    line, a new file and a vanished one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._before = folder / "work", folder / "before"
        inputs = self.folder / "in"
        inputs.mkdir(parents=True)
        pubmed_file(inputs / "n1.xml", citation(1, "Mice"), citation(2, "Rats"), citation(3, "Worms"))
        (inputs / "gone.txt").write_text("A mouse.")
        (inputs / "lines.jsonl").write_text('{"id": "b1", "text": "Yeast."}\n{"id": \n')
        night(self.folder)
        pubmed_file(inputs / "n2.xml", citation(2, "Rats and mice", version=2), citation(4, "Yeast"), deletion(3))
        (inputs / "gone.txt").unlink()
        (inputs / "lines.jsonl").write_text('{"id": "b1", "text": "Yeast."}\n{"id": "b2", "text": "A zebrafish."}\n')
        shutil.copytree(self.folder, self._before)
        undisturbed = Faults()
        self._restore()
        night(self.folder, undisturbed)
        self.calls, self._expected = undisturbed.calls, self._state()
        assert_consistent(self.folder / "out")

    def _restore(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self._before, self.folder)

    def _state(self) -> tuple[list[Any], list[Any]]:
        return entity_rows(self.folder / "out"), document_rows(self.folder / "out")

    def fail_at(self, *faults: tuple[int, str]) -> None:
        """Start the night, each time with a call that fails; check what the last, undisturbed start leaves."""
        self._restore()
        for at, kind in faults:
            with suppress(ProcessGone, CraftRayError, OSError):
                night(self.folder, Faults(at, kind))
        night(self.folder)
        how = ", ".join(f"{kind} {at} {self.calls[at]}" for at, kind in faults)
        assert self._state() == self._expected, how
        assert_consistent(self.folder / "out")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(tmp_path_factory.mktemp("nights"))


KINDS = ["before", "after", "torn", "error", "late error"]


@pytest.mark.parametrize("kind", KINDS)
def test_any_call_may_fail(nights: Nights, kind: str, request: pytest.FixtureRequest):
    assert len(nights.calls) > 50
    first = KINDS.index(kind)  # so that the gate does not always have the same calls fail
    for at in range(first, len(nights.calls), 1 if request.config.getoption("long") else len(nights.calls) // 4):
        nights.fail_at((at, kind))


@pytest.mark.long
def test_runs_may_fail_twice(nights: Nights):
    chance = random.Random(0)
    count = len(nights.calls)
    for _ in range(200):
        nights.fail_at(*((chance.randrange(count), chance.choice(KINDS)) for _ in range(2)))
