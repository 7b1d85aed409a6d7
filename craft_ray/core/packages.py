"""Optional dependencies."""

from importlib.util import find_spec

from craft_ray.core.errors import SettingsError

OPTIONAL = ("torch", "transformers", "accelerate")
"""Packages that some features need."""


def is_installed(package: str) -> bool:
    """True if a package can be imported; does not import it."""
    try:
        return find_spec(package) is not None
    except ValueError:  # imported, but without a spec: a stub in sys.modules
        return False


def missing(package: str, feature: str) -> str:
    """Error message for a package that is not installed."""
    return f"{feature} needs {package}, which is not installed: pip install {package}"


def require(package: str, feature: str) -> None:
    """Raise SettingsError if a package is not installed."""
    if not is_installed(package):
        raise SettingsError(missing(package, feature))
