"""Measure at scale: `python -m tests.scale --help`."""

from tests.scale import driver, outputs, runs, tables  # noqa: F401  register their scenarios
from tests.scale.harness import app

if __name__ == "__main__":
    app()
