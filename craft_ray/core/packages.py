"""Packages that not every installation has."""

from importlib.util import find_spec

from craft_ray.core.errors import SettingsError

EXTRA = {"torch": "torch", "transformers": "torch", "accelerate": "train"}
"""The extra of craft_ray that brings each package."""


def is_installed(package: str) -> bool:
    """True if a package can be imported; it is not imported to find out."""
    try:
        return find_spec(package) is not None
    except ValueError:  # it is there without a place, as a test puts it there
        return False


def missing(package: str, what: str) -> str:
    """The sentence about a package that something needs and that is missing."""
    return f"{what} needs {package}, which is not installed: pip install 'craft-ray[{EXTRA[package]}]'"


def require(package: str, what: str) -> None:
    """Raise SettingsError if a package is missing that something needs."""
    if not is_installed(package):
        raise SettingsError(missing(package, what))
