"""Inputs of the benchmark: real documents, repeated under new ids."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from craft_ray.core.errors import SettingsError, ShardError
from craft_ray.core.schema import Document
from craft_ray.core.settings import load_settings
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.readers import format_of, is_shard_name, read_shard
from craft_ray.readers.reader import ReadOptions
from craft_ray.storage.listing import list_shards
from craft_ray.storage.storage import Storage

SAMPLE = Path(__file__).parent.parent / "sample"


@dataclass(frozen=True, slots=True)
class BenchSizes:
    """How much is measured, in tokens.

    stage: for the model alone and the pipeline
    rival: for whole jobs in turn with Ray Data's pattern
    job:   for a whole job, on a CPU the smallest of the jobs of one, five and ten
    """

    repeats: int = 3
    stage: int = 20_000
    rival: int = 250_000
    job: int = 700_000

    @classmethod
    def quick(cls) -> "BenchSizes":
        """Minutes instead of half an hour, for rough figures."""
        return cls(1, 4_000, 60_000, 60_000)

    @classmethod
    def gpu(cls) -> "BenchSizes":
        return cls(stage=1_000_000, job=20_000_000)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What all parts of the benchmark are measured on.

    texts:  of all documents
    files:  that hold the documents, by format
    folder: for files that the benchmark writes
    """

    texts: list[str]
    files: dict[str, list[str]]
    checkpoint: Checkpoint
    folder: Path
    sizes: BenchSizes
    cores: int

    def jsonl(self, name: str, tokens: int, shards: int) -> list[Path]:
        """Write about so many tokens to shards of JSON lines."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        lines, characters = [], tokens * 4.0  # of English with this vocabulary, nearly
        for number, text in enumerate(cycle(self.texts)):
            lines.append(json.dumps({"id": f"{name}-{number}", "text": text}) + "\n")
            characters -= len(text)
            if characters <= 0:
                break
        files = [folder / f"{number:04}.jsonl" for number in range(shards)]
        for number, file in enumerate(files):
            file.write_text("".join(lines[number::shards]), encoding="utf-8")
        return files


def read_inputs(inputs: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The texts of all documents, and the files by format. Raises SettingsError if there are no documents."""
    storage = Storage.of(load_settings())
    texts: list[str] = []
    files: dict[str, list[str]] = {}
    for shard in list_shards(storage, inputs, is_shard_name).shards():
        try:
            with storage.open(shard.name) as stream:
                name = format_of(stream, shard.name, ReadOptions())
            with storage.open(shard.name) as stream:
                texts += [item.text for item in read_shard(stream, shard.name) if isinstance(item, Document)]
        except ShardError as error:
            raise SettingsError(f"there are no documents in {shard.name}: {error.detail}") from error
        files.setdefault(name, []).append(shard.name)
    if not texts:
        raise SettingsError(f"there are no documents in {', '.join(inputs)}")
    return texts, files
