"""The command `craft-ray`: a file per command, each from arguments to settings, one call, and its result on the terminal."""

from craft_ray.cli.app import main

__all__ = ["main"]
