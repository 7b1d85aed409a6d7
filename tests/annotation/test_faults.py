"""A run of which any read or write fails, and is run again, leaves the tables of an undisturbed one."""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


class Disk:
    """Knows what a power cut leaves: contents of files that were flushed, and names in folders that were."""

    def __init__(self) -> None:
        self._contents: set[tuple[int, int, int]] = set()
        self._names: set[tuple[str, tuple[int, int, int]]] = set()

    @contextmanager
    def recording(self) -> Iterator[None]:
        fsync = os.fsync

        def record(descriptor: int) -> None:
            fsync(descriptor)
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if os.path.isdir(path):
                self._names |= {(file.path, _status(file.path)) for file in os.scandir(path)}
            else:
                self._contents.add(_status(path))

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "fsync", record)
            yield

    def lose_power(self, folder: Path, before: Path, chance: random.Random) -> None:
        """Leave one of the states of a folder that a power cut allows (Pillai et al. 2014).

        A name that was not flushed is there or as before, and what was removed may be back. A file whose content was
        not flushed may also be empty or half there.

        before: a copy of the folder that is all on disk
        """
        now, then = ({file.relative_to(top) for file in top.rglob("*") if file.is_file()} for top in (folder, before))
        for file in sorted(now | then):
            here, old = folder / file, before / file
            flushed = file in now and _status(here) in self._contents
            if file in now & then and here.read_bytes() == old.read_bytes():
                continue
            if flushed and (str(here), _status(here)) in self._names:
                continue
            state = chance.choice(["new", "old"] if flushed or file not in now else ["new", "old", "torn"])
            if state == "torn":
                os.truncate(here, chance.choice([0, here.stat().st_size // 2]))
            elif state == "old" and file in then:
                here.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(old, here)
            elif state == "old":
                here.unlink()


def _status(path: str | Path) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


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

    def fail_at(self, chance: random.Random, *faults: tuple[int, str]) -> None:
        """Start the night, each time with a call that fails; check what the last, undisturbed start leaves."""
        self._restore()
        disk = Disk()  # what one start has flushed stays when a later one loses power
        for at, kind in faults:
            with disk.recording(), suppress(ProcessGone, CraftRayError, OSError):
                night(self.folder, Faults(at, kind))
            if kind == POWER_CUT:
                disk.lose_power(self.folder / "out", self._before / "out", chance)
        night(self.folder)
        how = ", ".join(f"{kind} {at} {self.calls[at]}" for at, kind in faults)
        assert self._state() == self._expected, how
        assert_consistent(self.folder / "out")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(tmp_path_factory.mktemp("nights"))


POWER_CUT = "power cut"

KINDS = ["before", "after", "torn", "error", "late error", POWER_CUT]


@pytest.mark.parametrize("kind", KINDS)
def test_any_call_may_fail(nights: Nights, kind: str, request: pytest.FixtureRequest):
    assert len(nights.calls) > 50
    first = KINDS.index(kind)  # so that the gate does not always have the same calls fail
    for at in range(first, len(nights.calls), 1 if request.config.getoption("long") else len(nights.calls) // 4):
        nights.fail_at(random.Random(at), (at, kind))


@pytest.mark.long
def test_runs_may_fail_twice(nights: Nights):
    chance = random.Random(0)
    count = len(nights.calls)
    for _ in range(200):
        nights.fail_at(chance, *((chance.randrange(count), chance.choice(KINDS)) for _ in range(2)))
