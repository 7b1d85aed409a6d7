"""Tables of READMEs that come from the code. `python -m tests.support.readmes` updates them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from craft_ray.cli.app import app
from craft_ray.core.settings import Settings, setting_descriptions
from craft_ray.training.recipe import Recipe

ROOT = Path(__file__).parent.parent.parent

SETTINGS_HEAD = "| setting | default | meaning |\n|---|---|---|\n"
COMMANDS_HEAD = "| command | |\n|---|---|\n"


def settings_table(model: type[BaseModel]) -> str:
    """A row for each setting. A description may end with the default in words."""
    lines = []
    for name, default, text in setting_descriptions(model):
        meaning, _, in_words = text.partition("; default: ")
        shown = in_words or ("" if default is None else f"`{json.dumps(default)}`")
        lines.append(f"| `{name}` | {shown} | {meaning} |\n".replace("|  |", "| |"))
    return SETTINGS_HEAD + "".join(lines)


def commands_table() -> str:
    return COMMANDS_HEAD + "".join(f"| `{name}` | {help} |\n" for name, help in _commands(typer.main.get_command(app)))


def _commands(command: Any, path: str = "craft-ray") -> Iterator[tuple[str, str]]:
    """Each command and the first paragraph of its help."""
    for name, below in command.commands.items():
        if hasattr(below, "commands"):
            yield from _commands(below, f"{path} {name}")
        else:
            yield f"{path} {name}", " ".join(below.help.split("\n\n")[0].split())


TABLES = {
    "craft_ray/cli/README.md": commands_table,
    "craft_ray/annotation/README.md": lambda: settings_table(Settings),
    "craft_ray/training/README.md": lambda: settings_table(Recipe),
}


def main() -> None:
    for file, table in TABLES.items():
        text, new = (ROOT / file).read_text(encoding="utf-8"), table()
        head = re.escape(new[: new.index("|---|") + new[new.index("|---|") :].index("\n") + 1])
        (ROOT / file).write_text(re.sub(rf"{head}(\|[^\n]*\n)*", lambda _, new=new: new, text), encoding="utf-8")


if __name__ == "__main__":
    main()
