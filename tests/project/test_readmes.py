"""What the README says is what is there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from craft_ray.cli.app import app
from craft_ray.core.labels import LABELS
from craft_ray.core.schema import DOCUMENTS, ENTITIES, REASONS
from craft_ray.core.settings import Settings
from craft_ray.readers import READERS

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_labels_reasons_formats_columns_and_settings_are_listed():
    for label in LABELS:
        assert f"| {label.name} | {label.tag} | {label.ontology} |" in README
    for reason, meaning in REASONS.items():
        assert f"| `{reason}` | {meaning} |" in README
    for reader in READERS:
        assert f"| `{reader.name}` |" in README
    for column in (*DOCUMENTS.names, *ENTITIES.names):
        assert f"`{column}`" in README
    shown = set(re.findall(r"^(\w+):", README.split("```yaml")[1].split("```")[0], re.MULTILINE))
    assert shown <= set(Settings.model_fields)


def test_the_tree_names_every_room():
    tree = README.split("## The tree")[1].split("## Labels")[0]
    rooms = {path.parent.name for path in (ROOT / "craft_ray").glob("*/__init__.py")}
    assert set(re.findall(r"^    craft_ray/(\w+)/ ", tree, re.MULTILINE)) - {"default_model"} == rooms


def commands(command: Any, path: str = "craft-ray") -> Iterator[tuple[str, str]]:
    """Each command as it is typed, and the first paragraph of its help."""
    for name, below in command.commands.items():
        if hasattr(below, "commands"):
            yield from commands(below, f"{path} {name}")
        else:
            yield f"{path} {name}", " ".join(below.help.split("\n\n")[0].split())


def test_commands_are_listed_with_their_help():
    listed = dict(re.findall(r"^\| `(craft-ray [^`]*)` \| (.*) \|$", README.split("## Commands")[1], re.MULTILINE))
    assert listed == dict(commands(typer.main.get_command(app)))


def test_jobs_take_the_commands_arguments():
    for job in (ROOT / "jobs").glob("*.py"):
        done = subprocess.run([sys.executable, job, "--help"], capture_output=True, text=True, check=True)
        command = {"benchmark": "bench"}.get(job.stem, job.stem)
        assert f" {command} " in done.stdout
