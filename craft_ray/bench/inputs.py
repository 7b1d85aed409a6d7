"""Inputs of the benchmark: real documents, repeated under new ids."""

import gzip
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from lxml import etree

from craft_ray.bench.measure import BenchSizes
from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import Document
from craft_ray.core.settings import load_settings
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.readers import is_shard_name, read_shard
from craft_ray.storage.shards import list_shards
from craft_ray.storage.storage import Storage

SAMPLE = Path(__file__).parent.parent / "sample"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs that all parts of the benchmark are measured on.

    texts, citations: as `read_inputs` gives them
    folder:           for files that the benchmark writes
    cores:            CPU cores of this machine
    """

    texts: list[str]
    citations: list[str]
    checkpoint: Checkpoint
    folder: Path
    sizes: BenchSizes
    cores: int

    def jsonl(self, name: str, tokens: int, shards: int) -> list[Path]:
        """Shards of JSON lines with about so many tokens."""
        return write_jsonl(self.folder / name, self.texts, tokens, shards)

    def fresh(self, name: str) -> Path:
        """An output that is not there."""
        output = self.folder / f"{name}-out"
        shutil.rmtree(output, ignore_errors=True)
        return output


def read_inputs(inputs: Sequence[str]) -> tuple[list[str], list[str]]:
    """The texts of all documents, and the XML of PubMed's citations; the sample's where there are none."""
    storage = Storage(load_settings().s3)
    texts: list[str] = []
    citations: list[str] = []
    for shard in list_shards(storage, inputs, is_shard_name).shards:
        with storage.open(shard.name) as stream:
            documents = [item for item in read_shard(stream, shard.name) if isinstance(item, Document) and item.text]
        texts += [document.text for document in documents]
        if any(document.doc_id.startswith("PMID:") for document in documents):
            citations += _citations(storage, shard.name)
    if not texts:
        raise SettingsError(f"there are no documents in {', '.join(inputs)}")
    return texts, citations or _citations(storage, str(SAMPLE / "citations.xml"))


def _citations(storage: Storage, name: str) -> list[str]:
    with storage.open(name) as stream:
        content = stream.read()
    tree = etree.fromstring(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    return [etree.tostring(element, encoding="unicode") for element in tree.iter("PubmedArticle")]


def write_citations(file: Path, citations: Sequence[str], count: int) -> None:
    """A PubMed file of so many citations: those given, over and over, under ids from 1 on."""
    with file.open("w", encoding="utf-8") as stream:
        stream.write('<?xml version="1.0" encoding="UTF-8"?>\n<PubmedArticleSet>\n')
        for number in range(count):
            citation = citations[number % len(citations)]
            stream.write(re.sub(r"(<PMID[^>]*>)[^<]*", rf"\g<1>{number + 1}", citation, count=1))
        stream.write("</PubmedArticleSet>\n")


def write_jsonl(folder: Path, texts: Sequence[str], tokens: int, shards: int) -> list[Path]:
    """Shards of JSON lines with about so many tokens: the texts, over and over, under new ids."""
    folder.mkdir(exist_ok=True)
    characters = tokens * 4.0  # of English with this vocabulary, nearly
    files = [folder / f"{number:04}.jsonl" for number in range(shards)]
    streams = [file.open("w", encoding="utf-8") for file in files]
    for number, text in enumerate(cycle(texts)):
        streams[number % shards].write(json.dumps({"id": f"{folder.name}-{number}", "text": text}) + "\n")
        characters -= len(text)
        if characters <= 0:
            break
    for stream in streams:
        stream.close()
    return files
