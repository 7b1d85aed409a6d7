"""Find biomedical entities in any number of documents.

    import craft_ray
    craft_ray.annotate(["pubmed/updatefiles"], "tables")
    craft_ray.open("tables").entities.to_pandas(["label", "mention"])
    craft_ray.Tagger.load().tag("Pax6 is expressed in the mouse eye.")

What is slow to import (ray, torch, pyarrow) is imported when it is first used.
"""

from collections.abc import Iterable
from importlib import import_module
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from craft_ray.core.version import __version__

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from craft_ray.annotation.tagger import Tagger
    from craft_ray.cli.console import Show
    from craft_ray.core import errors
    from craft_ray.core.schema import Document, Entity, Section
    from craft_ray.core.settings import Settings, load_settings
    from craft_ray.tables.output import Output

__all__ = [
    "Document",
    "Entity",
    "Output",
    "Section",
    "Settings",
    "Tagger",
    "__version__",
    "annotate",
    "errors",
    "load_settings",
    "open",
]

_HOMES = {
    "Document": "core.schema",
    "Entity": "core.schema",
    "Output": "tables.output",
    "Section": "core.schema",
    "Settings": "core.settings",
    "Tagger": "annotation.tagger",
    "errors": "core.errors",
    "load_settings": "core.settings",
}
"""Where the public names are defined; each is imported when it is first used."""

Address = str | PathLike[str]
"""A path, or an s3:// address as text."""


def annotate(
    inputs: Address | Iterable[Address],
    output: Address,
    settings: "Settings | None" = None,
    *,
    progress: bool | None = None,
    **chosen: Any,
) -> dict[str, Any]:
    """Annotate documents into the tables of an output, as `craft-ray annotate` does; returns the run's summary.

    inputs:   files, folders and globs, on disk or s3://
    settings: all settings of the run; those of the environment and of craft-ray.yaml if None
    progress: show how far the run has come; None shows it in a notebook alone
    chosen:   single settings instead, such as model="...", replicas=2, format="jats"

    Raises SettingsError, RunError, StoppedError or OutputBusyError of `craft_ray.errors`, and TypeError for arguments
    of another kind.
    """
    from craft_ray.annotation.run import annotate as run
    from craft_ray.core.settings import load_settings

    if settings is not None and chosen:
        raise TypeError(f"give either settings or {', '.join(chosen)}")
    addresses = [inputs] if isinstance(inputs, str | PathLike) else list(_listed("inputs", inputs))
    paths = [_path("inputs", given) for given in addresses]
    loaded = _checked(settings) or load_settings(**chosen)
    with _progress(progress, loaded) as show:
        return run(paths, _path("output", output), loaded, show)


def _listed(name: str, given: Any) -> Iterable[Any]:
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise TypeError(f"{name}: a path or several, not {type(given).__name__}")
    return given


def _path(name: str, given: Any) -> str:
    if not isinstance(given, str | PathLike):
        raise TypeError(f"{name}: a path is a str or a pathlib.Path, not {type(given).__name__}")
    return str(fspath(given))


def _checked(settings: Any) -> "Settings | None":
    from craft_ray.core.settings import Settings

    if settings is not None and not isinstance(settings, Settings):
        told = f"settings: a craft_ray.Settings, not {type(settings).__name__}"
        raise TypeError(
            f"{told}; craft_ray.load_settings(FILE) reads a file, and single settings are keyword arguments"
        )
    return settings


def _progress(wanted: bool | None, settings: "Settings") -> "AbstractContextManager[Show]":
    """The display of a run's progress: a line in a notebook, else as the command has it, or none."""
    from craft_ray.cli.console import console, run_progress
    from craft_ray.cli.notebook import in_notebook, notebook_progress

    if wanted is not False and in_notebook():
        return notebook_progress()
    return run_progress(console(stderr=True), settings.log_format, quiet=not wanted)


def open(output: Address, at: str | int | None = None, settings: "Settings | None" = None) -> "Output":
    """Open the tables of an output: `.entities`, `.documents`, `.shards`, `.concepts` and `.ancestors`.

    Each reads to Arrow, pandas or Polars.

    at: a run id or its beginning, or a version of `documents`; now if None

    Raises SettingsError if there are no tables, or no such state of them, and TypeError for arguments of another kind.
    """
    from craft_ray.core.settings import load_settings
    from craft_ray.storage.addresses import absolute
    from craft_ray.storage.storage import Storage
    from craft_ray.tables.output import open_output

    loaded = _checked(settings) or load_settings()
    storage = Storage.of(loaded)
    return open_output(storage, absolute(_path("output", output)), None if at is None else str(at))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'craft_ray' has no attribute {name!r}")
    home = import_module(f"craft_ray.{_HOMES[name]}")
    return home if name == "errors" else getattr(home, name)


def __dir__() -> list[str]:
    return [*__all__, "__doc__"]
