"""The commands for a cluster as its pages have them, word for word, from a clean copy of the repository."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

import craft_ray
from cluster.local.cluster import FOLDER, ROOT
from craft_ray.core.settings import load_settings
from tests.support.clean_copy import copy_tracked
from tests.support.outputs import assert_consistent, entity_rows

pytestmark = pytest.mark.integration

JOBS = sorted(f"jobs/{path.name}" for path in ROOT.glob("jobs/*.py"))
PAGES = ("cluster/README.md", "cluster/local/cluster.py", *JOBS)

UP = "python cluster/local/cluster.py up --nodes 3"
ENVIRONMENT = "source /tmp/craft-ray-cluster-$UID/environment"
DOWN = "python cluster/local/cluster.py down"
SAMPLE = 'ray job submit --working-dir . -- python jobs/annotate.py craft_ray/sample --output "$HOME/tables"'
ANNOTATE = "ray job submit --working-dir . -- python jobs/annotate.py INPUT... --output OUT"
TRAIN = (
    "ray job submit --working-dir . -- python jobs/train.py --train FILE --dev FILE --base MODEL "
    "--epochs 1 --output OUT"
)
EVALUATE = "ray job submit --working-dir . -- python jobs/evaluate.py tokens --gold FILE"
BENCHMARK = "ray job submit --working-dir . -- python jobs/benchmark.py INPUT... --quick --output OUT"

MAX_UPLOAD = 80 << 20

SENTENCES = "Pax6\tB-GGP\nis\tO\nexpressed\tO\nin\tO\nthe\tO\nmouse\tB-Taxon\n.\tO\n\n" * 40


def documented() -> set[str]:
    found = set()
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for line in re.findall(r"(?:python cluster/local/cluster\.py|source /tmp|ray job submit -)[^`\n]*", text):
            found.add(re.split(r"  +|'\)", line)[0].rstrip())
    return found


def test_all_documented_commands_are_run_here():
    assert documented() == {UP, ENVIRONMENT, DOWN, SAMPLE, ANNOTATE, TRAIN, EVALUATE, BENCHMARK}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's files as they are here."""
    return copy_tracked(tmp_path_factory.mktemp("clean") / "craft-ray")


def in_shell(clean: Path, *commands: str) -> str:
    """Run commands one after the other, as in one terminal, and return what they print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTEST"))}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=clean,
        env=environment | {"PATH": path},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(scope="module")
def cluster(clean: Path) -> Iterator[Path]:
    """The clean copy, while the cluster that its own command starts is up."""
    if FOLDER.exists():
        pytest.skip(f"a cluster of this user is up already in {FOLDER}")
    in_shell(clean, UP)
    yield clean
    in_shell(clean, DOWN)
    assert not FOLDER.exists()


def submit(clean: Path, command: str, **values: str | Path) -> str:
    """Submit a documented job with values for its placeholders."""
    for name, value in values.items():
        command = re.sub(rf"\b{name}\b(?:\.\.\.)?", lambda _, value=value: shlex.quote(str(value)), command)
    return in_shell(clean, ENVIRONMENT, command)


def test_the_upload_is_small(clean: Path, tmp_path: Path):
    package = tmp_path / "package.zip"
    create_package(str(clean), package, include_gitignore=True, excludes=[])
    assert package.stat().st_size < MAX_UPLOAD


def test_annotate(cluster: Path, data: Path, tmp_path: Path):
    articles = tmp_path / "articles"
    articles.mkdir()
    for file in sorted((data / "craft" / "txt").glob("*.txt"))[:3]:
        (articles / file.name).write_bytes(file.read_bytes())
    assert "succeeded" in submit(cluster, ANNOTATE, INPUT=articles, OUT=tmp_path / "cluster")
    craft_ray.annotate([str(articles)], tmp_path / "alone", load_settings())
    assert assert_consistent(tmp_path / "cluster") == {"annotated": 3}
    assert entity_rows(tmp_path / "cluster") == entity_rows(tmp_path / "alone") != []


@pytest.mark.long
def test_the_sample(cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    logs = in_shell(cluster, ENVIRONMENT, SAMPLE)
    assert re.search(r"documents annotated +3\b", logs)
    again = in_shell(cluster, ENVIRONMENT, SAMPLE)
    assert "already exists, skipping upload" in again
    assert re.search(r"documents annotated +0\b", again)


@pytest.mark.long
def test_train_then_annotate(cluster: Path, tmp_path: Path):
    (tmp_path / "corpus.tsv").write_text(SENTENCES)
    submit(cluster, TRAIN, FILE=tmp_path / "corpus.tsv", MODEL="craft-iob", OUT=tmp_path / "model")
    annotate = f"{ANNOTATE} --model {tmp_path / 'model'}"
    submit(cluster, annotate, INPUT="craft_ray/sample", OUT=tmp_path / "tables")
    assert assert_consistent(tmp_path / "tables") == {"annotated": 3, "deleted": 1}
    assert {label for label, *_ in entity_rows(tmp_path / "tables")} != set()


@pytest.mark.long
def test_evaluate(cluster: Path, tmp_path: Path):
    (tmp_path / "corpus.tsv").write_text(SENTENCES)
    assert re.search(r"Taxon +1\.0", submit(cluster, EVALUATE, FILE=tmp_path / "corpus.tsv"))


@pytest.mark.long
def test_benchmark(cluster: Path, tmp_path: Path):
    submit(cluster, BENCHMARK, INPUT=cluster / "craft_ray" / "sample", OUT=tmp_path / "bench")
    assert json.loads((tmp_path / "bench" / "bench.json").read_text())["goals"]


@pytest.mark.long
def test_a_relative_output_is_refused(cluster: Path, tmp_path: Path):
    """Ray removes the folder in which it would be."""
    with pytest.raises(AssertionError) as raised:
        submit(cluster, ANNOTATE, INPUT=cluster / "craft_ray" / "sample", OUT="tables")
    assert "the output tables is relative to the job's copy of the working directory" in str(raised.value)
    assert "exit code 2" in str(raised.value)
