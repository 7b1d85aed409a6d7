"""The versions that are installed by the README's commands are those that were tested, and within the bounds."""

import re
import subprocess
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.readmes import ROOT

PAGES = [
    name
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    if name.endswith((".md", ".ipynb", ".yaml", ".sbatch", "Dockerfile")) and "CHANGELOG" not in name
]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
    if not re.match("torch[>=]|craft-ray", line)  # a version of torch names a build, which the user chooses
]
CONSTRAINTS = {
    canonicalize_name(name): Version(version)
    for name, version in re.findall(r"^(.+)==(.+)$", (ROOT / ".github" / "constraints.txt").read_text(), re.MULTILINE)
}


def test_every_dependency_has_a_version_within_its_bounds():
    missing = [required.name for required in REQUIREMENTS if canonicalize_name(required.name) not in CONSTRAINTS]
    assert missing == []
    outside = [
        f"{required} has {CONSTRAINTS[canonicalize_name(required.name)]}"
        for required in REQUIREMENTS
        if CONSTRAINTS[canonicalize_name(required.name)] not in required.specifier
    ]
    assert outside == []
    assert "torch" not in CONSTRAINTS


def test_indirect_dependencies_have_a_version():
    pending, seen = list(REQUIREMENTS), set[tuple[str, frozenset[str]]]()
    while pending:
        required = pending.pop()
        name, extras = canonicalize_name(required.name), frozenset(required.extras)
        if (name, extras) in seen or name in ("pip", "torch"):
            continue
        seen.add((name, extras))
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        for indirect in map(Requirement, needed):
            marker = indirect.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                pending.append(indirect)
    assert sorted({name for name, _ in seen} - CONSTRAINTS.keys()) == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_install_these_versions(page: str):
    commands = re.findall(r"pip install (?:[^\n`&]|`(?=pip))+", (ROOT / page).read_text().replace("\\\n", ""))
    ours = [command for command in commands if re.search(r"(?<![\w/])\.(?: |\[|$)|craft-ray\[|--requirement", command)]
    assert [
        command for command in ours if not re.search(r"--no-deps|(?:-c|--constraint) \S*constraints\.txt", command)
    ] == []


def test_the_first_page_installs_them():
    assert (ROOT / "README.md").read_text().count("pip install -c .github/constraints.txt") >= 3
