"""Validation of settings with pydantic. One error names all mistakes, their origins and the nearest names."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from craft_ray.core.errors import SettingsError

if TYPE_CHECKING:
    import yaml

Key = tuple[str, ...]
"""Path of a value in nested settings, such as ("s3", "region")."""

_SECRET = ("web_address",)
"""Types of errors whose values may contain a secret."""

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Mapping[str, Any], origins: Mapping[Key, str] | None = None) -> Model:
    """Make a model of nested values.

    origins: where each value comes from, for the error message

    Raises SettingsError, with one sentence about all invalid values.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        mistakes = [_mistake(model, dict(found), origins or {}) for found in error.errors(include_url=False)]
        raise SettingsError("; ".join(dict.fromkeys(mistakes))) from error


def read_yaml(file: str | Path) -> tuple[dict[str, Any], dict[Key, str]]:
    """Return the values of a YAML file, and the line of each.

    Raises SettingsError if the file cannot be read, or is not a mapping.
    """
    import yaml

    try:
        text = Path(file).read_text(encoding="utf-8")
        content, tree = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"the settings file {file} is not YAML: it is not UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SettingsError(f"the settings file {file} is not YAML: {reason}{line}") from error
    if content is None:
        return {}, {}
    if not isinstance(content, dict):
        raise SettingsError(f"the settings file {file} holds no settings, only {type(content).__name__}")
    return {str(name): value for name, value in content.items()}, dict(_lines(tree, file))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` if a known name is similar, else nothing.

    >>> nearest("replica", ["model", "replicas"])
    '; did you mean replicas?'
    """
    by_case = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold(), by_case, 1, 0.6)
    return f"; did you mean {by_case[found[0]]}?" if found else ""


def _lines(node: "yaml.Node | None", file: str | Path, above: Key = ()) -> Iterable[tuple[Key, str]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            key = (*above, str(name.value))
            yield key, f"{file}, line {name.start_mark.line + 1}"
            yield from _lines(value, file, key)


def _mistake(model: type[BaseModel], found: dict[str, Any], origins: Mapping[Key, str]) -> str:
    """Word one error of pydantic. Values of unknown settings are not shown, since they may be secrets."""
    key = tuple(str(part) for part in found["loc"])
    while key not in origins and len(key) > 1 and found["type"] != "extra_forbidden":
        key = key[:-1]  # members of a union and items of a list have no origin of their own
    name = ".".join(key)
    origin = f" ({origins[key]})" if key in origins else ""
    if found["type"] == "extra_forbidden":
        return f"setting {name}: there is no such setting{origin}{nearest(key[-1], _fields(model, key[:-1]))}"
    shown = isinstance(found["input"], str | int | float) and found["type"] not in _SECRET
    given = f", not {found['input']!r}" if shown else ""
    return f"setting {name}: {_in_words(found['msg'])}{given}{origin}"


def _in_words(message: str) -> str:
    """A message of pydantic without its word for a value, and without how it failed to parse one."""
    return re.sub(r"^(Input|String|Value|Tuple|Dictionary) should ", "must ", message).partition(", unable to")[0]


def _fields(model: type[BaseModel], above: Key) -> list[str]:
    """Names of the fields of a nested model."""
    for name in above:
        inner = model.model_fields[name].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
