"""Weights of a checkpoint in safetensors, and their packed form: 8 bits per weight with a scale per row.

The packed form takes half the bytes of fp16, and is how models ship. Only craft_ray opens it: `unpacked_folder` and
`craft-ray publish` write the fp16 that transformers opens.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

PLAIN_FILE = "model.safetensors"
PACKED_FILE = "model.int8.safetensors"
SCALE = ".scale"
"""Suffix of the name of a parameter's scales."""

Weights = Mapping[str, NDArray[np.generic]]
"""Array by parameter name, fp32 or fp16."""

_KINDS = {"F32": np.float32, "F16": np.float16, "I8": np.int8}
"""Types of weights, by their names in safetensors."""


class _Unpacked(Mapping[str, NDArray[np.generic]]):
    """Packed weights as fp16, each converted when it is asked for: a start from compiled graphs needs hardly any."""

    def __init__(self, arrays: Weights) -> None:
        self._arrays = arrays
        self._names = [name for name in arrays if not name.endswith(SCALE)]

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        array = self._arrays[name]
        if name + SCALE not in self._arrays:
            return array
        scale = self._arrays[name + SCALE].astype(np.float32)
        return (array.astype(np.float32) * scale[:, None]).astype(np.float16)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def weights_file(folder: Path) -> Path | None:
    """The file of a folder's weights in safetensors, or None."""
    return next((file for name in (PLAIN_FILE, PACKED_FILE) if (file := folder / name).is_file()), None)


def read_weights(file: Path) -> Weights:
    """The arrays of a safetensors file, mapped from it: what is not used is not read."""
    content = np.memmap(file, np.uint8, "c")
    length = int.from_bytes(content[:8].tobytes(), "little")
    header = json.loads(content[8 : 8 + length].tobytes())
    header.pop("__metadata__", None)
    arrays = {}
    for name, about in header.items():
        start, end = (8 + length + offset for offset in about["data_offsets"])
        data: NDArray[np.generic] = content[start:end].view(np.ndarray).view(_KINDS[about["dtype"]])
        arrays[name] = data.reshape(about["shape"])
    return _Unpacked(arrays) if file.name == PACKED_FILE else arrays


def packed(weights: Weights) -> dict[str, NDArray[np.generic]]:
    """Matrices as int8 (rows, columns) and fp16 scales (rows,), vectors as fp16.

    The largest weight of a row becomes 127 or -127. Packing unpacked weights gives the same again.
    """
    result: dict[str, NDArray[np.generic]] = {}
    for name, array in weights.items():
        if array.ndim != 2:
            result[name] = array.astype(np.float16)
            continue
        exact = array.astype(np.float32)
        # At least the smallest normal number, for rows of zeros.
        scale = np.maximum(np.abs(exact).max(axis=1) / 127, np.finfo(np.float16).tiny).astype(np.float16)
        result[name] = np.rint(exact / scale.astype(np.float32)[:, None]).clip(-127, 127).astype(np.int8)
        result[name + SCALE] = scale
    return result


def write_copy(folder: Path, target: Path, *, pack: bool) -> Path:
    """Copy a checkpoint's folder, with its weights packed, or else in fp16 for transformers. Returns the new file.

    Raises FileExistsError if the target exists.
    """
    source = weights_file(folder)
    if source is None:
        raise FileNotFoundError(f"{folder} has neither {PLAIN_FILE} nor {PACKED_FILE}")
    weights: Any = read_weights(source)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(PLAIN_FILE, PACKED_FILE))
    arrays = packed(weights) if pack else {name: array.astype(np.float16) for name, array in weights.items()}
    written = target / (PACKED_FILE if pack else PLAIN_FILE)
    save_file(arrays, written, metadata={"format": "pt"})
    shutil.copymode(source, written)  # safetensors writes for this user alone
    return written


def unpacked_folder(source: str, target: Path) -> str:
    """A folder or Hugging Face id that transformers opens: packed weights are unpacked into `target`, once."""
    if not (Path(source) / PACKED_FILE).is_file():
        return source
    if not target.exists():
        write_copy(Path(source), target, pack=False)
    return str(target)
