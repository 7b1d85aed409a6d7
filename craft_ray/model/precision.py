"""The engine and the number format of a run on a device."""

from typing import Literal, get_args

from craft_ray.core.errors import SettingsError
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines import ENGINES
from craft_ray.model.engines.engine import EngineSpec, Precision


def choose_precision(
    checkpoint: Checkpoint, device: str, precision: Precision | Literal["auto"], engine: str
) -> tuple[Precision, EngineSpec]:
    """The engine and the format that settings and `auto` stand for: the first engine that runs on the device, and its
    fastest format that does no harm.

    Raises SettingsError for what the device or the checkpoint does not allow.
    """
    check_choice(precision, engine)
    chosen = _engine(device, engine)
    if precision == "auto":
        precision = chosen.fastest(checkpoint, device)
    if precision not in (able := chosen.devices[device]):
        raise SettingsError(f"the engine {chosen.name} computes in {', '.join(able)} on {device}, not in {precision}")
    if precision == "int8" and not checkpoint.activation_ranges:
        raise SettingsError(f"the model {checkpoint.source} has no activation_ranges, which int8 needs")
    return precision, chosen


def check_choice(precision: str, engine: str) -> None:
    """Raise SettingsError for a number format or an engine that there is not, before anything is loaded."""
    if precision not in ("auto", *get_args(Precision)):
        raise SettingsError(f"unknown precision {precision!r}: choose auto or one of {', '.join(get_args(Precision))}")
    if engine not in ("auto", *_choices()):
        raise SettingsError(f"unknown engine {engine!r}: choose auto or one of {', '.join(_choices())}")


def _choices() -> list[str]:
    return [spec.name for spec in ENGINES.values() if spec.devices]


def _engine(device: str, name: str) -> EngineSpec:
    if name == "auto":
        return next(spec for spec in ENGINES.values() if device in spec.devices)
    if device not in ENGINES[name].devices:
        able = ", ".join(choice for choice in _choices() if device in ENGINES[choice].devices)
        raise SettingsError(f"the engine {name} does not run on {device}: choose {able}")
    return ENGINES[name]
