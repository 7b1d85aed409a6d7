"""Inputs of the benchmark: real documents, repeated under new ids."""

import gzip
import io
import json
import re
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from lxml import etree

from craft_ray.bench.measure import BenchSizes
from craft_ray.core.errors import SettingsError, ShardError
from craft_ray.core.schema import Document
from craft_ray.core.settings import load_settings
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.readers import is_shard_name, read_shard
from craft_ray.storage.listing import list_shards
from craft_ray.storage.storage import Storage

SAMPLE = Path(__file__).parent.parent / "sample"


@dataclass(frozen=True, slots=True)
class Documents:
    """Real documents to measure with.

    texts:     of all documents
    citations: the XML of PubMed's
    articles:  JATS files
    """

    texts: list[str]
    citations: list[str]
    articles: list[bytes]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs that all parts of the benchmark are measured on.

    folder: for files that the benchmark writes
    cores:  CPU cores of this machine
    """

    documents: Documents
    checkpoint: Checkpoint
    folder: Path
    sizes: BenchSizes
    cores: int

    def jsonl(self, name: str, tokens: int, shards: int) -> list[Path]:
        """Shards of JSON lines with about so many tokens."""
        return write_jsonl(self.folder / name, self.documents.texts, tokens, shards)

    def fresh(self, name: str) -> Path:
        """An output that is not there."""
        output = self.folder / f"{name}-out"
        shutil.rmtree(output, ignore_errors=True)
        return output


def read_inputs(inputs: Sequence[str]) -> Documents:
    """The documents of files and folders; the sample's citations and article where there are none.

    Raises SettingsError if there are no documents.
    """
    storage = Storage.of(load_settings())
    found = Documents([], [], [])
    for shard in list_shards(storage, inputs, is_shard_name).shards():
        with storage.open(shard.name) as stream:
            content = stream.read()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        try:
            documents = [i for i in read_shard(io.BytesIO(content), shard.name) if isinstance(i, Document)]
        except ShardError as error:
            raise SettingsError(f"there are no documents in {shard.name}: {error.detail}") from error
        found.texts.extend(document.text for document in documents)
        if any(document.doc_id.startswith("PMID:") for document in documents):
            found.citations.extend(_citations(content))
        if b"<article-id" in content:
            found.articles.append(content)
    if not found.texts:
        raise SettingsError(f"there are no documents in {', '.join(inputs)}")
    return Documents(
        found.texts,
        found.citations or _citations((SAMPLE / "citations.xml").read_bytes()),
        found.articles or [(SAMPLE / "article.nxml").read_bytes()],
    )


def _citations(content: bytes) -> list[str]:
    return [etree.tostring(element, encoding="unicode") for element in etree.fromstring(content).iter("PubmedArticle")]


def write_citations(file: Path, citations: Sequence[str], count: int) -> None:
    """A PubMed file of so many citations: those given, over and over, under ids from 1 on."""
    with gzip.open(file, "wt", 6, "utf-8") if file.suffix == ".gz" else file.open("w", encoding="utf-8") as stream:
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


def write_articles(file: Path, articles: Sequence[bytes], tokens: int) -> None:
    """A .tar.gz of JATS articles with about so many tokens: those given, over and over, under ids from 1 on."""
    characters = tokens * 12.0  # of JATS, markup and references included, roughly
    with tarfile.open(file, "w:gz") as archive:
        for number, article in enumerate(cycle(articles)):
            own = re.sub(rb"(<article-id[^>]*>)[^<]*", rb"\g<1>%d" % (number + 1), article)
            member = tarfile.TarInfo(f"{number:06}.nxml")
            member.size = len(own)
            archive.addfile(member, io.BytesIO(own))
            characters -= len(own)
            if characters <= 0:
                break
