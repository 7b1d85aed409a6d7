"""The command `craft-ray`: a file per command, from its arguments to settings, one call, and its result."""

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command. A signal while it is still being imported ends it without a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(3))  # as StoppedError, which is not imported yet
    from craft_ray.cli.app import main as run

    run()
