"""The fenced commands of the READMEs run as they stand there, from the root of a clean copy of the repository.

One that cannot run here has a comment `<!-- not run by the tests: REASON -->` above its fence.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import craft_ray
from tests.project.test_readmes import TRACKED, text
from tests.support.clean_copy import copy_tracked

pytestmark = pytest.mark.long

FENCE = re.compile(r"(?:<!-- ([^\n]*) -->\n)?```(bash|python|sql)\n(.*?)```", re.DOTALL)

BLOCKS = [
    (page, language, block, comment)
    for page in sorted(name for name in TRACKED if name.endswith("README.md"))
    for comment, language, block in FENCE.findall(text(page))
]
RUN = [
    pytest.param(language, block, id=f"{page}:{block.split()[0]}:{number}")
    for number, (page, language, block, comment) in enumerate(BLOCKS)
    if not comment
]

VIRUSES = "Influenza\tB-Virus\nvirus\tI-Virus\ninfects\tO\nthe\tO\ngoose\tB-Host\n.\tO\n\n" * 400


def test_what_is_not_run_says_why():
    comments = [comment for *_, comment in BLOCKS if comment and comment != "tests"]
    assert [comment for comment in comments if not re.fullmatch(r"not run by the tests: \S.{10,}", comment)] == []
    assert len(comments) < len(RUN)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A copy of the repository beside the files that the examples name."""
    folder = copy_tracked(tmp_path_factory.mktemp("documented") / "craft-ray")
    for name, target in {"pubmed": "pubmed", "jats": "jats", "CRAFT": "craft"}.items():
        (folder / name).symlink_to(data / target)
    genes = "Mus_musculus.gene_info.gz"
    (folder / genes).symlink_to(data / "ontologies" / "gene_info" / genes)
    shutil.copy(folder / "craft_ray" / "concepts" / "lexicon", folder / "LEXICON")
    (folder / "notes.csv").write_text("id,text\n1,Pax6 is expressed in the mouse eye.\n")
    (folder / "viruses.txt").write_text(VIRUSES)
    (folder / "labels.yaml").write_text("Virus: {meaning: a virus}\nHost: {meaning: what it infects}\n")
    # Examples of `diff` compare with earlier runs, which are kept if they were from the beginning.
    craft_ray.annotate([str(folder / "notes.csv")], folder / "tables", keep_versions=3, model="craft")
    return folder


@pytest.mark.parametrize(("language", "block"), RUN)
def test_a_block_runs_as_it_stands(language: str, block: str, root: Path, monkeypatch: pytest.MonkeyPatch):
    if language == "sql":
        monkeypatch.chdir(root)
        duckdb.connect().execute(block)
        return
    program = ["bash", "-euo", "pipefail", "-c"] if language == "bash" else [sys.executable, "-c"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "CRAFT_RAY_"))}
    done = subprocess.run(
        [*program, block], cwd=root, env=environment | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
