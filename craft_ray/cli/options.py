"""Options that commands share or that are made from settings, and helpers to open outputs."""

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer

from craft_ray.core.errors import SettingsError
from craft_ray.core.validation import nearest

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from craft_ray.core.logs import LogFormat
    from craft_ray.core.settings import Settings
    from craft_ray.outputs import Output as OpenOutput
    from craft_ray.storage.storage import Storage

INPUTS, OUTCOME = "Inputs", "Course and outcome"

PANELS = {
    "Options": ("model", "min_score", "limit"),
    INPUTS: ("format", "include", "id_column", "text_column", "id_prefix", "prune", "max_pruned"),
    "Model and ids": (
        *("model_sha256", "replace_model", "precision", "engine", "compile"),
        *("labels", "concepts", "ontology", "dictionary", "grounded_only"),
    ),
    "Tables": ("keep_text", "keep_versions", "compact"),
    "Machines": ("address", "cpus", "replicas", "max_replicas", "token_budget", "block_mb"),
    OUTCOME: ("max_rejected", "patience", "log_format"),
}
"""Settings in the panels of a command's help."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on the last line of stdout.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="`craft`, `craft-iob`, a folder (local or s3://), or a Hugging Face id.",
        show_default="craft",
    ),
]
GroundedOnly = Annotated[
    list[str] | None,
    typer.Option(
        help="Label whose mentions are dropped if no concept fits; repeatable.",
        show_default="none",
        metavar="LABEL",
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option(
        help="Lowest score of mentions to keep; 0 keeps all.",
        show_default="as the model's config.json says",
        min=0,
        max=1,
    ),
]
Output = Annotated[str, typer.Argument(help="Folder of the tables, on disk or s3://.", metavar="OUT")]
At = Annotated[
    str | None,
    typer.Option(help="Run id (or its beginning), or version of `documents`.", metavar="V", show_default="now"),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        help="YAML file of settings, which arguments and CRAFT_RAY_* variables override.",
        show_default="craft-ray.yaml in the current folder, if it exists",
        metavar="FILE",
    ),
]
KeepVersions = Annotated[
    int | None, typer.Option(help="Earlier states of the tables to keep.", min=0, show_default="as the last run")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no summary, only errors.")]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Print each commit and each broken shard.", rich_help_panel=OUTCOME),
]

_JSON_LOGS = re.compile(r"""^["']?log_format["']?\s*:\s*["']?json\b""", re.MULTILINE)
"""Matches a line of a settings file that may be invalid otherwise."""


def requested_log_format(arguments: Sequence[str]) -> "LogFormat":
    """Return the log format of the arguments, the environment or a settings file, even if the rest is invalid.

    Errors before the settings are loaded, or in loading them, are logged in this format.
    """
    from craft_ray.core.settings import FILE, PREFIX

    given = _last_value("--log-format", arguments) or os.environ.get(f"{PREFIX}LOG_FORMAT")
    if given is None:
        try:
            text = Path(_last_value("--settings", arguments) or FILE).read_text(encoding="utf-8", errors="replace")
        except OSError:  # reported when the settings are loaded
            text = ""
        given = "json" if _JSON_LOGS.search(text) else "text"
    return "json" if given == "json" else "text"


def _last_value(option: str, arguments: Sequence[str]) -> str | None:
    """Return the last value of an option in arguments, as `--name value` or `--name=value`."""
    found = None
    for number, argument in enumerate(arguments):
        if argument == option:
            found = next(iter(arguments[number + 1 : number + 2]), None)
        elif argument.startswith(f"{option}="):
            found = argument.partition("=")[2]
    return found


def open_storage(output: str, settings: "Settings | Path | None") -> tuple["Storage", str]:
    """Return the storage of an output, and the output's absolute location.

    settings: loaded, or the file to load
    """
    from craft_ray.core.settings import Settings, load_settings
    from craft_ray.storage.addresses import absolute
    from craft_ray.storage.storage import Storage

    chosen = settings if isinstance(settings, Settings) else load_settings(settings)
    return Storage.of(chosen), absolute(output)


def locate_tables(output: str, settings: "Settings | Path | None") -> tuple["Storage", str]:
    """Like `open_storage`, but raises SettingsError if there are no tables."""
    from craft_ray.tables.output import tables_exist

    storage, location = open_storage(output, settings)
    if not tables_exist(storage, location):
        hint = f"`craft-ray annotate INPUT --output {output}` makes them"
        raise SettingsError(f"there are no tables in {output}: {hint}{similar_output(location)}")
    return storage, location


def open_tables(output: str, settings: "Settings | Path | None", at: str | None = None) -> "OpenOutput":
    """Open an output for reading.

    Raises SettingsError if there are no tables, or not in this state.
    """
    from craft_ray.outputs import open_output

    return open_output(*locate_tables(output, settings), at)


def similar_output(location: str) -> str:
    """Return `; did you mean ...?` if a sibling folder with tables has a similar name, else nothing."""
    from craft_ray.storage.addresses import is_remote
    from craft_ray.storage.local import similar_name

    if is_remote(location):
        return ""
    return similar_name(location, lambda folder: (folder / "documents/_delta_log").is_dir())


def choice(option: str, given: str, *known: str) -> str:
    """Return a value if it is known.

    Raises SettingsError.
    """
    if given not in known:
        choices = " or ".join(filter(None, (", ".join(known[:-1]), known[-1])))
        raise SettingsError(f"{option} {given}: choose {choices}{nearest(given, known)}")
    return given


Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map", help="Label of the corpus and the model's label that means the same; repeatable.", metavar="OLD=NEW"
    ),
]


def label_pairs(options: list[str]) -> dict[str, str]:
    """`OLD=NEW` options as a mapping. Raises SettingsError for one in another form."""
    if bad := next((option for option in options if not all(option.partition("=")[::2])), None):
        raise SettingsError(f"--map takes OLD=NEW, such as DISEASE=Disease, and not {bad!r}")
    return dict(option.partition("=")[::2] for option in options)


Command = TypeVar("Command", bound=Callable[..., Any])

SHORT = {"model": "-m", "limit": "-n"}
"""Short names of options."""


def options_from(
    model: "type[BaseModel]", *, panel: str = "Settings", panels: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Callable[[Command], Command]:
    """Add an option for each plain field of a model: text, number, switch, choice, list, or NAME=NUMBER pairs.

    panel:  of the help, for fields that none of `panels` lists
    panels: fields of each further panel, in the order of the help

    The command receives them as keyword arguments, None for options not given. Nested models have no options and can
    only be set by the settings file.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = {parameter.name for parameter in own}
        fields = {name: field for name, field in model.model_fields.items() if name not in names and _plain(field)}
        panel_of = {name: title for title, listed in panels.items() for name in listed}
        ordered = [*(name for name in panel_of if name in fields), *(name for name in fields if name not in panel_of)]
        options = [_option(name, fields[name], panel_of.get(name, panel)) for name in ordered]
        parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *options)]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by typer
        command.__annotations__ |= {option.name: option.annotation for option in options}
        return command

    return decorate


def _option(name: str, field: "FieldInfo", panel: str) -> inspect.Parameter:
    kind = _inner(field.annotation)
    text = str(field.description)
    help, _, default = text.partition("; default: ")
    plain = field.default is None or field.default is False or field.default in ({}, ())
    shown = default or (False if plain else str(field.default))
    metavar = None
    if get_origin(kind) is Literal:
        metavar, kind = "|".join(map(str, get_args(kind))), str
    elif get_origin(kind) is tuple:
        kind, help = list[str], f"{help}; repeatable"
    elif get_origin(kind) is dict:
        metavar, kind, help = "LABEL=SHARE", list[str], f"{help}; repeatable"
    flag = f"--{name.replace('_', '-')}"
    names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag, *([SHORT[name]] if name in SHORT else [])]
    info = typer.Option(
        *names, help=f"{help[:1].upper()}{help[1:]}.", show_default=shown, metavar=metavar, rich_help_panel=panel
    )
    annotation = Annotated[kind | None, info]  # type: ignore[valid-type]  # known at run time
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _inner(annotation: Any) -> Any:
    """Strip None from an annotation."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = [part for part in get_args(annotation) if part is not type(None)]
    return annotation


def _plain(field: "FieldInfo") -> bool:
    kind = _inner(field.annotation)
    return kind in (str, int, float, bool) or get_origin(kind) in (Literal, tuple) or kind == dict[str, float]
