"""What the README says is what is there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from craft_ray.cli import app
from craft_ray.labels import LABELS
from craft_ray.readers import FORMATS
from craft_ray.schema import DOCUMENTS, ENTITIES, REASONS
from craft_ray.settings import Settings
from tests.test_layout import ORDER

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_labels_reasons_formats_columns_and_settings_are_listed():
    for label in LABELS:
        assert f"| {label.name} | {label.tag} | {label.ontology} |" in README
    for reason, meaning in REASONS.items():
        assert f"| `{reason}` | {meaning} |" in README
    for format in FORMATS:
        assert f"| `{format}` |" in README
    for column in (*DOCUMENTS.names, *ENTITIES.names):
        assert f"`{column}`" in README
    shown = set(re.findall(r"^(\w+):", README.split("```yaml")[1].split("```")[0], re.MULTILINE))
    assert shown <= set(Settings.model_fields)


def test_the_tree_names_every_module_in_the_order_of_imports():
    tree = README.split("## The tree")[1].split("default_model/")[0]
    named = re.findall(r"(\w+)(?:\.py|/ +one (?:format|family))", tree)
    assert named == ORDER


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


def test_import_and_help_are_quick_since_nothing_heavy_is_imported():
    code = (
        "import sys, craft_ray.cli; print([m for m in ('ray', 'torch', 'transformers', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
