"""Find biomedical entities in any number of documents.

    import craft_ray
    craft_ray.annotate(["pubmed/updatefiles"], "tables")
    craft_ray.open("tables").entities.to_pandas(["label", "mention"])
    craft_ray.Tagger.load().tag("Pax6 is expressed in the mouse eye.")

Slow imports (ray, torch, pyarrow) happen on first use.
"""

from collections.abc import Iterable
from importlib import import_module
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Unpack

from craft_ray.core.version import __version__

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from craft_ray.annotation.tagger import Tagger
    from craft_ray.cli.progress import Show
    from craft_ray.core import errors
    from craft_ray.core.schema import Document, Entity, Section
    from craft_ray.core.settings import SettingArguments, Settings, load_settings
    from craft_ray.outputs import Output

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

_MODULES = {
    "Document": "core.schema",
    "Entity": "core.schema",
    "Output": "outputs",
    "Section": "core.schema",
    "Settings": "core.settings",
    "Tagger": "annotation.tagger",
    "errors": "core.errors",
    "load_settings": "core.settings",
}
"""Modules of the public names, imported on first use."""

Address = str | PathLike[str]
"""A path, or an s3:// address as str."""


def annotate(
    inputs: Address | Iterable[Address],
    output: Address,
    settings: "Settings | None" = None,
    *,
    progress: bool | None = None,
    **overrides: "Unpack[SettingArguments]",
) -> dict[str, Any]:
    """Annotate documents and write the tables of an output, like `craft-ray annotate`. Returns the run's summary.

    inputs:    files, folders and globs, on disk or s3://
    settings:  all settings of the run; by default from the environment and craft-ray.yaml
    progress:  show progress; by default only in a notebook
    overrides: single settings, such as model="...", replicas=2, format="jats"; only without `settings`

    Raises SettingsError, RunError, StoppedError or OutputBusyError of `craft_ray.errors`, and TypeError for arguments
    of wrong types.
    """
    from craft_ray.annotation.run import annotate as run
    from craft_ray.core.settings import load_settings

    if settings is not None and overrides:
        raise TypeError(f"give either settings or {', '.join(overrides)}")
    addresses = [inputs] if isinstance(inputs, str | PathLike) else _iterable("inputs", inputs)
    paths = [_path("inputs", address) for address in addresses]
    loaded = _checked(settings) or load_settings(**overrides)
    with _progress(progress, loaded) as show:
        return run(paths, _path("output", output), loaded, show)


def _iterable(name: str, value: Any) -> Iterable[Any]:
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise TypeError(f"{name}: a path or several, not {type(value).__name__}")
    return value


def _path(name: str, value: Any) -> str:
    if not isinstance(value, str | PathLike):
        raise TypeError(f"{name}: a path is a str or a pathlib.Path, not {type(value).__name__}")
    return str(fspath(value))


def _checked(settings: Any) -> "Settings | None":
    from craft_ray.core.settings import Settings

    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(
            f"settings: a craft_ray.Settings, not {type(settings).__name__}; craft_ray.load_settings(FILE) reads a "
            "file, and single settings are keyword arguments"
        )
    return settings


def _progress(wanted: bool | None, settings: "Settings") -> "AbstractContextManager[Show]":
    from craft_ray.cli.console import console
    from craft_ray.cli.progress import in_notebook, notebook_progress, run_progress

    if wanted is not False and in_notebook():
        return notebook_progress()
    return run_progress(console(stderr=True), settings.log_format, quiet=not wanted)


def open(output: Address, at: str | int | None = None, settings: "Settings | None" = None) -> "Output":
    """Open the tables of an output: `.entities`, `.documents`, `.shards`, `.concepts`, `.ancestors` and `.xrefs`.

    Each has `to_arrow`, `to_pandas` and `to_polars`. `top`, `pairs`, `diff`, `export`, `report` and `verify` are
    methods that do what the commands do.

    at: run id or its beginning, or version of `documents`; by default the latest state

    Raises SettingsError if there are no tables, or not in this state, and TypeError for arguments of wrong types.
    """
    from craft_ray.core.settings import load_settings
    from craft_ray.outputs import open_output
    from craft_ray.storage.addresses import absolute
    from craft_ray.storage.storage import Storage

    loaded = _checked(settings) or load_settings()
    return open_output(Storage.of(loaded), absolute(_path("output", output)), None if at is None else str(at))


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'craft_ray' has no attribute {name!r}")
    module = import_module(f"craft_ray.{_MODULES[name]}")
    return module if name == "errors" else getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__, "__doc__"]
