"""Exact versions of dependencies, one a line, as pip's `--constraint` takes them.

installed: of all that is installed here; the list in .github/constraints.txt
lowest:    the lower bounds of pyproject.toml for users, without the tools of tests

torch is not in them: its version names a build, which whoever installs it chooses.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def installed() -> list[str]:
    freeze = [sys.executable, "-m", "pip", "freeze", "--all", "--exclude", "pip", "--exclude", "torch"]
    done = subprocess.run([*freeze, "--exclude", "craft-ray"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def lowest() -> list[str]:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    bounded = [*project["dependencies"], *extras["torch"], *extras["train"]]
    found = (re.match(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", requirement) for requirement in bounded)
    return sorted(f"{match[1]}=={match[2]}" for match in found if match and match[1] != "torch")


if __name__ == "__main__":
    (choice,) = sys.argv[1:]
    print(*{"installed": installed, "lowest": lowest}[choice](), sep="\n")
