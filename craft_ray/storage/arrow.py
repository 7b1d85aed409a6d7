"""Object storage as Arrow's readers see it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.fs

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def retrying_filesystem(filesystem: "AbstractFileSystem", open_: Callable[[str], BinaryIO]) -> pyarrow.fs.PyFileSystem:
    """An Arrow filesystem of S3 whose files are opened by `open_`, which takes an address."""
    return pyarrow.fs.PyFileSystem(_Handler(filesystem, open_))


class _Handler(pyarrow.fs.FSSpecHandler):  # type: ignore[misc]  # pyarrow has no types
    def __init__(self, filesystem: "AbstractFileSystem", open_: Callable[[str], BinaryIO]) -> None:
        super().__init__(filesystem)
        self._open = open_

    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(self._open(f"s3://{path}"), mode="r")
