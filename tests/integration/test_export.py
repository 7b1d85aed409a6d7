import json
import subprocess
import time
from pathlib import Path

import pytest

from craft_ray.core.settings import S3Settings
from craft_ray.export.manifest import BEGUN, MANIFEST
from craft_ray.storage.storage import Storage
from tests.support.commands import COMMAND
from tests.support.outputs import commit, numbered_document
from tests.support.s3_server import S3Server

pytestmark = pytest.mark.integration

DOCUMENTS = 600


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents in random order, in three commits."""
    folder = tmp_path_factory.mktemp("tables")
    shuffled = sorted(range(DOCUMENTS), key=lambda number: number * 7919 % DOCUMENTS)
    for part in range(3):
        commit(folder, [numbered_document(number, 150) for number in shuffled[part::3]])
    return folder


def contents(destination: Path) -> dict[str, bytes]:
    """The files of an export except the manifest."""
    return {path.name: path.read_bytes() for path in destination.iterdir() if path.name != MANIFEST}


@pytest.mark.parametrize("format", ["bioc-xml", "brat", "conll"])
def test_ray_writes_the_same_bytes(local_ray: None, command, output: Path, tmp_path: Path, format: str):
    options = ("--to", format, "--shard-documents", "70", "--json")
    here = command("export", output, tmp_path / "here", "--no-ray", *options)
    on_ray = command("export", output, tmp_path / "ray", "--ray", *options)
    assert (here.code, on_ray.code) == (0, 0), on_ray.stderr
    assert here.summary == on_ray.summary
    assert here.summary["documents"]["exported"] == DOCUMENTS
    assert here.summary["entities"]["exported"] == here.summary["entities"]["found"] > 0
    assert contents(tmp_path / "here") == contents(tmp_path / "ray")
    assert len(contents(tmp_path / "ray")) == 9


def test_error_in_a_task(local_ray: None, command, tmp_path: Path):
    commit(tmp_path / "tables", [numbered_document(1)])
    commit(tmp_path / "tables", [numbered_document(2)], keep_text=False)
    done = command("export", tmp_path / "tables", tmp_path / "out", "--to", "jsonl", "--ray")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "the text of PMID:000002 is not in the tables" in done.stderr
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_export_on_s3(s3_server: S3Server, on_s3: str, command, output: Path, tmp_path):
    tables, destination = f"{on_s3}/tables", f"{on_s3}/out"
    filesystem = s3_server.filesystem()
    commit(tables, [numbered_document(number, 60) for number in range(40, 0, -1)], storage=Storage(S3Settings()))
    commit(tmp_path / "tables", [numbered_document(number, 60) for number in range(40, 0, -1)])
    options = ("--to", "bioc-json", "--shard-documents", "15", "--json")
    local = command("export", tmp_path / "tables", tmp_path / "out", *options)
    remote = command("export", tables, destination, *options)
    assert (local.code, remote.code) == (0, 0), remote.stderr
    assert remote.summary == local.summary | {"tables": tables}
    found = {path.rpartition("/")[2]: filesystem.cat_file(path) for path in filesystem.ls(destination, detail=False)}
    assert json.loads(found.pop(MANIFEST)) == remote.summary
    assert found == contents(tmp_path / "out")
    assert len(found) == 3

    # A rerun with fewer shards leaves none of the earlier ones.
    assert command("export", tables, destination, "--to", "csv").code == 0
    left = {path.rpartition("/")[2] for path in filesystem.ls(destination, detail=False)}
    assert left == {MANIFEST, "part-00000.csv.gz"}


def test_export_ended_by_a_signal(command, output: Path, tmp_path: Path):
    options = ("--to", "conll", "--shard-documents", "10", "--no-ray")
    assert command("export", output, tmp_path / "undisturbed", *options).code == 0
    whole, broken = contents(tmp_path / "undisturbed"), tmp_path / "broken"
    process = subprocess.Popen([*COMMAND, "export", output, broken, *options], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not (broken / "part-00002.conll.gz").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.terminate()
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 3, stderr
    assert stderr.splitlines()[-1].startswith("craft-ray: stopped by a signal; the export is not whole")
    assert not (broken / MANIFEST).exists()
    left = contents(broken)
    shards = {name: content for name, content in left.items() if name.startswith("part-")}
    assert left.keys() == {*shards, BEGUN}
    assert 3 <= len(shards) < len(whole)
    assert all(content == whole[name] for name, content in shards.items())
    assert command("export", output, broken, *options).code == 0
    assert contents(broken) == whole
