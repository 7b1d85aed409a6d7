"""pandas, put off. pyarrow tries to import it with its first array, which takes as long as importing pyarrow twice.

A process that needs no frames, such as a run that finds nothing new, does without; one that goes on lets pandas in.
"""

import sys


class _PutOff:
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


_FINDER = _PutOff()


def put_off_pandas() -> None:
    """Let the import of pandas fail in this process, for the time being."""
    sys.meta_path.insert(0, _FINDER)


def let_pandas_in() -> None:
    """Undo `put_off_pandas`, before anything is imported that may use pandas, such as Ray Data or torch."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
        import pyarrow as pa

        pa.table({}).to_pandas()  # pyarrow tries again, and knows frames from now on
