"""Command-line options made from the fields of a pydantic model, which describes each setting once."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Command = TypeVar("Command", bound=Callable[..., Any])

SHORT = {"model": "-m", "limit": "-n"}
"""Short names of options."""


def options_from(
    model: type[BaseModel], *, panel: str = "Settings", panels: Mapping[str, Sequence[str]] = MappingProxyType({})
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


def _option(name: str, field: FieldInfo, panel: str) -> inspect.Parameter:
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


def _plain(field: FieldInfo) -> bool:
    kind = _inner(field.annotation)
    return kind in (str, int, float, bool) or get_origin(kind) in (Literal, tuple) or kind == dict[str, float]
