"""What every format provides: a `Reader` with its name, the files it recognises, and the function that reads them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from typing import Any, BinaryIO

from craft_ray.core.schema import Item
from craft_ray.core.settings import ArticlePart

READER_VERSION = 5
"""Increase it when readers give other documents for the same bytes: outputs then read their files again."""

HEAD_BYTES = 1 << 16

UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
"""Encodings by their byte order marks."""

UTF_16_ADVICE = "UTF-16: convert it with iconv -f UTF-16 -t UTF-8"

_COMPRESSED = re.compile(r"\.(?:gz|bz2|xz|zst)$")
_ELEMENT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)(?=[\s/>])")
_DOCTYPE = re.compile(r"<!DOCTYPE[^>[]*", re.IGNORECASE)
_START_TAG = re.compile(r"<(?:([A-Za-z_][\w.-]*):)?([A-Za-z_][\w.-]*)(?=[\s/>])([^>]*)")
_XML_START = (b"<?xml", b"<!doctype")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The settings that change how documents are read.

    format:  name of the reader for all files; None detects it for each file
    include: optional parts of full-text articles
    id_column, text_column: columns of JSON, CSV and Parquet; the usual names by default
    id_prefix: put in front of each id; `shard` stands for the file's name
    """

    format: str | None = None
    include: tuple[ArticlePart, ...] = ()
    id_column: str | None = None
    text_column: tuple[str, ...] = ()
    id_prefix: str | None = None

    def signature(self) -> list[Any]:
        """JSON of everything besides a file's bytes that decides which documents it gives."""
        return [READER_VERSION, *astuple(self)]


@dataclass(frozen=True, slots=True)
class Head:
    """The start of a file, for detection.

    suffix: last suffix of the name in lower case, ignoring that of a compression
    start:  up to HEAD_BYTES without byte order mark and leading white space; UTF-16 is converted to UTF-8
    """

    suffix: str
    start: bytes

    @classmethod
    def of(cls, name: str, content: bytes = b"") -> "Head":
        encoding = UTF_16.get(content[:2])
        if encoding is not None:
            content = content[2:HEAD_BYTES].decode(encoding, "ignore").encode("utf-8", "ignore")
        return cls(_COMPRESSED.sub("", name.lower()).rpartition(".")[2], content.removeprefix(b"\xef\xbb\xbf").lstrip())

    @property
    def first_line(self) -> bytes:
        return self.start.partition(b"\n")[0]

    @property
    def is_xml(self) -> bool:
        if self.suffix == "txt":  # prose may begin with `<`
            return self.start[:9].lower().startswith(_XML_START)
        return self.start.startswith(b"<")

    @property
    def is_json(self) -> bool:
        return self.start[:1] in (b"{", b"[")

    @property
    def document_type(self) -> str:
        """DOCTYPE, namespace and name of the root of XML: `<!DOCTYPE x PUBLIC "..." {namespace}name`."""
        content = self.start.decode("utf-8", "replace")
        doctype, root = _DOCTYPE.search(content), _START_TAG.search(content)
        if root is None:
            return ""
        prefix, name, attributes = root.groups()
        namespace = re.search(rf"\sxmlns{f':{prefix}' if prefix else ''}\s*=\s*[\"']([^\"']*)", attributes)
        return f"{doctype.group() if doctype else ''} {{{namespace.group(1) if namespace else ''}}}{name}"

    @property
    def elements(self) -> Iterator[str]:
        """Local names of the XML elements that start here, in document order."""
        return (match.group(1).decode("utf-8", "replace") for match in _ELEMENT.finditer(self.start))


@dataclass(frozen=True, slots=True)
class Reader:
    """One format of documents. Detection tries `magic`, `suffixes`, `roots` and `matches`, in this order.

    name:     value of `--format`
    read:     generator of the items of a stream; gets the file's name for documents without an id.
              Raises ShardError where the rest cannot be read
    suffixes: suffixes of names that no other format has
    shared_suffixes: suffixes that also mark input in a folder, but need a look at the content
    magic:    first bytes
    roots:    XML elements that contain its documents, at any depth
    matches:  any other test
    """

    name: str
    read: Callable[[BinaryIO, str, ReadOptions], Iterator[Item]]
    suffixes: tuple[str, ...] = ()
    shared_suffixes: tuple[str, ...] = ()
    magic: bytes | None = None
    roots: tuple[str, ...] = ()
    matches: Callable[[Head], bool] = lambda head: False


def not_utf8(error: UnicodeDecodeError) -> str:
    return f"{error}; if it is Windows-1252 or Latin-1, convert it with iconv -f WINDOWS-1252 -t UTF-8"
