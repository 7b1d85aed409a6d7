"""The command `craft-ray`: a file per command, from its arguments to settings, one call, and its result."""

from craft_ray.cli.app import main

__all__ = ["main"]
