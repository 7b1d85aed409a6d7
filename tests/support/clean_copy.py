"""A copy of the repository as a new user gets it."""

import shutil
import subprocess
from pathlib import Path

from tests.support.readmes import ROOT


def tracked(folder: str = ".") -> list[str]:
    """Paths of the files that git has and that are here, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def copy_tracked(target: Path) -> Path:
    """Copy the tracked files, as they are here, to a folder."""
    for name in tracked():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    return target
