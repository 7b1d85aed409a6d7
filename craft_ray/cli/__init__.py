"""The command `craft-ray`, with a file per command."""

import os
import signal
import sys
from typing import NoReturn

WITHOUT_PANDAS = {"annotate", "diff", "pairs", "query", "rejected", "report", "runs", "show", "top", "verify"}
"""Commands that need no pandas, or not before they start Ray."""


def main() -> NoReturn:
    """Run the command. A signal while it is still being imported ends it without a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(3))  # as StoppedError, which is not imported yet
    _open_standard_streams()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them reads the metadata of all packages
    if WITHOUT_PANDAS.intersection(sys.argv[1:2]):
        from craft_ray.core.pandas_later import put_off_pandas

        put_off_pandas()
    from craft_ray.cli.app import main as run

    try:
        run()
    except SystemExit as end:
        # A LIMIT leaves threads of Arrow that read ahead. One that the end of the interpreter kills would be waited for
        # for ever. These commands have nothing left to do.
        if sys.argv[1:2] in (["query"], ["show"]) and isinstance(end.code, int):
            sys.stderr.flush()
            os._exit(end.code)  # stdout is flushed
        raise


def _open_standard_streams() -> None:
    """Open /dev/null for closed standard streams (`2>&-`), else the next file opened would get their output."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
