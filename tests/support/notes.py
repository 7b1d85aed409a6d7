"""Short notes as inputs."""

import json
from pathlib import Path


def write_notes(folder: Path, documents: int, files: int) -> None:
    """Write so many documents, spread over so many files of JSON lines."""
    folder.mkdir()
    for file in range(files):
        numbers = range(file, documents, files)
        lines = [json.dumps({"id": f"n{n}", "text": f"Mouse {n} has a gene. " * 8}) for n in numbers]
        (folder / f"{file:02}.jsonl").write_text("\n".join(lines))
