"""From the bytes of a shard to its documents: one generator a format. Adding a format is adding a file and a line here.

Readers know no storage: they get a binary stream, and the shard's name for documents that have no id of their own.
"""

import io
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Item, Rejection
from craft_ray.readers.bioc import read_bioc_json, read_bioc_xml
from craft_ray.readers.jats import read_jats
from craft_ray.readers.jsonl import read_jsonl
from craft_ray.readers.limits import read_whole
from craft_ray.readers.parquet import read_parquet
from craft_ray.readers.pubmed import read_pubmed
from craft_ray.readers.pubtator import LINE as PUBTATOR_LINE
from craft_ray.readers.pubtator import read_pubtator
from craft_ray.readers.text import read_text
from craft_ray.readers.unpacking import Gunzip, Stream, is_tar, members, unpacked

Reader = Callable[[BinaryIO, str], Iterator[Item]]

READERS: dict[str, Reader] = {
    "pubmed": read_pubmed,
    "jats": read_jats,
    "bioc": read_bioc_xml,
    "bioc-json": read_bioc_json,
    "pubtator": read_pubtator,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "text": read_text,
}

FORMATS = ("pubmed", "jats", "bioc", "pubtator", "jsonl", "parquet", "text")
"""What `--format` takes; `bioc` is XML or JSON by content."""

SUFFIXES = (".xml", ".nxml", ".json", ".jsonl", ".ndjson", ".pubtator", ".txt", ".parquet", ".tar", ".tgz")
"""Names taken from a folder, alone or with `.gz` behind; others in it are counted as passed over."""

_ROOTS = {
    b"PubmedArticleSet": "pubmed",
    b"PubmedArticle": "pubmed",
    b"PubmedBookArticle": "pubmed",
    b"article": "jats",
    b"pmc-articleset": "jats",
    b"collection": "bioc",
}
_ROOT = re.compile(rb"<([A-Za-z][\w.-]*)(?=[\s/>])")
_HEAD = 1 << 16


def is_shard_name(name: str) -> bool:
    """Whether a file in a folder is input, by its name."""
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_shard(stream: BinaryIO, shard: str, format: str | None = None) -> Iterator[Item]:
    """Yield what a shard holds: documents, deletions, and a rejection for each record that cannot be read.

    Compression and archives are unpacked in a stream. Every error of the content ends as a Rejection or a ShardError.

    Raises ShardError where the rest cannot be read; what came before was yielded.
    """
    plain = unpacked(stream)
    head = _head(plain)
    if is_tar(head):
        for name, content in members(plain, shard, is_shard_name):
            if isinstance(content, Rejection):
                yield content
                continue
            member = unpacked(content)
            try:
                yield from _read(member, _head(member), name, format)
            except ShardError as error:
                yield Rejection(f"{name}#unreadable", error.reason, error.detail)
    else:
        yield from _read(plain, head, shard, format)


def _read(stream: Stream, head: bytes, shard: str, format: str | None) -> Iterator[Item]:
    found = detect(shard, head) if format is None else format
    if found == "bioc" and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        found = "bioc-json"
    if found == "parquet" and isinstance(stream.raw, Gunzip):
        return read_parquet(io.BytesIO(read_whole(stream)), shard)  # it is read from its end
    return READERS[found](stream, shard)


def _head(stream: Stream) -> bytes:
    """The first bytes, the position kept; fewer if the stream is damaged after them, which its reader will find."""
    head = b""
    try:
        while len(head) < _HEAD and (more := stream.read1(_HEAD - len(head))):
            head += more
    except ShardError:
        if not head:
            raise
    stream.seek(0)
    return head


def detect(name: str, head: bytes) -> str:
    """The format of a shard by its name and its first bytes.

    Raises ShardError (`unknown_format`) if neither tells.

    >>> detect("x.xml", b'<?xml version="1.0"?><PubmedArticleSet>')
    'pubmed'
    """
    suffix = name.lower().removesuffix(".gz").rpartition(".")[2]
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PAR1"):
        return "parquet"
    if suffix in ("jsonl", "ndjson", "pubtator", "parquet"):
        return "jsonl" if suffix == "ndjson" else suffix
    if suffix == "nxml":
        return "jats"
    if suffix != "txt" and start.startswith(b"<"):
        root = next((_ROOTS[m.group(1)] for m in _ROOT.finditer(start) if m.group(1) in _ROOTS), None)
        if root is None:
            raise ShardError("unknown_format", "XML that is neither PubMed, JATS nor BioC")
        return root
    if suffix != "txt" and start[:1] in (b"{", b"["):
        first_line = start.partition(b"\n")[0]
        return "bioc-json" if b'"documents"' in start or b'"passages"' in first_line else "jsonl"
    if PUBTATOR_LINE.match(start.partition(b"\n")[0]):
        return "pubtator"
    if suffix == "txt":
        return "text"
    if not head:
        raise ShardError("unknown_format", "an empty file")
    raise ShardError("unknown_format", "neither its name nor its first bytes tell the format")
