"""The Dockerfile, checked without building it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.commands import CLUSTER, ROOT, parsed

DOCKERFILE = CLUSTER / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Each instruction's name and arguments."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in text.splitlines()) if name.isupper()]


def sources() -> list[str]:
    return [source for name, rest in instructions() if name == "COPY" for source in rest.split()[:-1]]


def test_lint():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_context_has_what_is_copied():
    let_in = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(let_in) == sorted(sources())
    assert all((ROOT / source).exists() for source in let_in)


def test_it_installs_the_dependencies(tmp_path: Path):
    for source in ("pyproject.toml", ".github/constraints.txt"):
        (tmp_path / Path(source).name).write_bytes((ROOT / source).read_bytes())
    (step,) = [rest for name, rest in instructions() if name == "RUN" and "requirements.txt" in rest]
    making = re.sub(r"--mount=\S+", "", step).partition("&& pip")[0]
    subprocess.run(making.replace("python -c", f"{sys.executable} -c"), shell=True, cwd=tmp_path, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["torch"]]
    assert (tmp_path / "requirements.txt").read_text().split("\n") == ["ray[default]", *needed, ""]
    constraints = (tmp_path / "constraints.txt").read_text()
    assert "\nray==" in constraints
    assert "\ntorch==" not in constraints  # the image chooses the build
    torch = re.findall(r"torch==[\d.]+", "".join(rest for _, rest in instructions()))
    assert torch == re.findall(r"(torch==[\d.]+)", (ROOT / "README.md").read_text())[:1]


def test_user_and_probes():
    named = dict(instructions())
    assert named["USER"] == "1000"
    assert "wget" in "".join(rest for name, rest in instructions() if name == "RUN")
    assert parsed("craft-ray annotate x --output y")
    assert named["CMD"] == '["craft-ray", "--help"]'


@pytest.mark.parametrize("word", ["AWS_", "SECRET", "TOKEN", "PASSWORD"])
def test_it_has_no_credentials(word: str):
    assert not any(word in rest.upper() for name, rest in instructions() if name in ("ARG", "ENV", "RUN"))
