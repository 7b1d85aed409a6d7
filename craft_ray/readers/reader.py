"""The description of a reader: its name, the shards that are its own, and the function that reads them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from typing import Any, BinaryIO

from craft_ray.core.schema import Item
from craft_ray.core.settings import ArticlePart

READING = 2
"""Raised when readers give other documents for the same bytes, so that outputs read their shards again."""

HEAD = 1 << 16
"""Bytes from the start of a shard that detection sees."""

_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_ELEMENT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)(?=[\s/>])")
_XML_START = (b"<?xml", b"<!doctype")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The settings that change how documents are read.

    format:  name of the reader of all shards; told by each shard's name and content if None
    include: parts of full-text articles that are read beside title, abstracts, body and captions
    id_column, text_column: those of records in JSON, CSV and Parquet; found by their usual names if not given
    id_prefix: put before each id; `shard` stands for the shard's name
    """

    format: str | None = None
    include: tuple[ArticlePart, ...] = ()
    id_column: str | None = None
    text_column: tuple[str, ...] = ()
    id_prefix: str | None = None

    def signature(self) -> list[Any]:
        """All that decides what a shard of given bytes gives, as JSON holds it."""
        return [READING, *astuple(self)]


@dataclass(frozen=True, slots=True)
class Head:
    """The start of a shard, as detection sees it.

    suffix: the last part of its name in lower case, `.gz` aside
    start:  its first HEAD bytes, without byte order mark and leading white space; UTF-16 is given as UTF-8
    """

    suffix: str
    start: bytes

    @classmethod
    def of(cls, name: str, content: bytes) -> "Head":
        """The head of a shard from its name and its first bytes."""
        encoding = _BYTE_ORDER_MARKS.get(content[:2])
        if encoding is not None:
            content = content[2:HEAD].decode(encoding, "ignore").encode("utf-8", "ignore")
        return cls(name.lower().removesuffix(".gz").rpartition(".")[2], content.removeprefix(b"\xef\xbb\xbf").lstrip())

    @property
    def first_line(self) -> bytes:
        """The first line that is not blank."""
        return self.start.partition(b"\n")[0]

    @property
    def is_xml(self) -> bool:
        """True if this is XML; in a `.txt` file, where prose may begin with `<`, only if it is declared."""
        if self.suffix == "txt":
            return self.start[:9].lower().startswith(_XML_START)
        return self.start.startswith(b"<")

    @property
    def elements(self) -> Iterator[str]:
        """Names of the XML elements that begin here, in order, without their namespaces."""
        return (match.group(1).decode("utf-8", "replace") for match in _ELEMENT.finditer(self.start))


@dataclass(frozen=True, slots=True)
class Reader:
    """One format of documents.

    name:     what `--format` calls it
    read:     yields the documents of a stream; raises ShardError where the rest cannot be read. Gets the shard's name
              for documents that have no id of their own
    suffixes: names of files taken from a folder, alone or with `.gz` behind
    owned:    those of the suffixes that settle the format whatever the content is
    magic:    first bytes that settle it whatever the name is
    roots:    XML elements in which its documents stand
    matches:  tells it by a head that is none of these
    """

    name: str
    read: Callable[[BinaryIO, str, ReadOptions], Iterator[Item]]
    suffixes: tuple[str, ...] = ()
    owned: tuple[str, ...] = ()
    magic: bytes | None = None
    roots: tuple[str, ...] = ()
    matches: Callable[[Head], bool] = lambda head: False
