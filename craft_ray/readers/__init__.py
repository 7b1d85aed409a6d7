"""From the bytes of a shard to its documents. A format is one file with its READER, and one line in READERS.

Readers know no storage: they get a binary stream, and the shard's name for documents that have no id of their own.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from craft_ray.core.errors import SettingsError, ShardError
from craft_ray.core.schema import UNREADABLE, Document, Item, Rejection
from craft_ray.core.settings import Settings
from craft_ray.readers import archives, bioc, csv, deletions, jats, jsonl, medline, parquet, pubmed, pubtator, text
from craft_ray.readers.archives import Stream, first_bytes, is_tar, members, unpacked
from craft_ray.readers.parts import ITEM_KEY, WHOLE, ArchivePart
from craft_ray.readers.reader import Head, Reader, ReadOptions
from craft_ray.readers.unsupported import advice_for

READERS: tuple[Reader, ...] = (
    pubmed.READER,
    jats.READER,
    bioc.READER,
    pubtator.READER,
    medline.READER,
    csv.READER,
    jsonl.READER,
    parquet.READER,
    text.READER,
    deletions.READER,
)
"""All formats; where several match a shard, the first one reads it."""

__all__ = [
    "ITEM_KEY",
    "READERS",
    "ArchivePart",
    "ReadOptions",
    "Reader",
    "detect",
    "format_of",
    "is_archive_name",
    "is_shard_name",
    "read_items",
    "read_options",
    "read_shard",
]


def is_shard_name(name: str) -> bool:
    """True if a file in a folder is input, by its name; others are counted as passed over."""
    suffix = Head.of(name, b"").suffix
    return is_archive_name(name) or any(suffix in reader.suffixes for reader in READERS)


def is_archive_name(name: str) -> bool:
    """True if a file is an archive by its name; its content alone tells for certain."""
    return Head.of(name, b"").suffix in archives.SUFFIXES


def read_options(settings: Settings) -> ReadOptions:
    """The settings that change how documents are read. Raises SettingsError if there is no reader of the format."""
    if settings.format is not None:
        _reader_named(settings.format)
    return ReadOptions(settings.format, settings.include, settings.id_column, settings.text_column, settings.id_prefix)


def _reader_named(format: str) -> Reader:
    """The reader of a format. Raises SettingsError if there is none."""
    for reader in READERS:
        if reader.name == format:
            return reader
    names = ", ".join(reader.name for reader in READERS)
    raise SettingsError(f"setting format: there is no reader {format!r}, only {names}")


def read_shard(stream: BinaryIO, shard: str, options: ReadOptions | None = None) -> Iterator[Item]:
    """Yield what a shard holds: documents, deletions, and a rejection for each record that cannot be read.

    Compression and archives are unpacked in a stream. Every error of the content ends as a Rejection or a ShardError.

    Raises ShardError where the rest cannot be read; what came before was yielded.
    """
    for _, item in read_items(stream, shard, options or ReadOptions()):
        yield item


def read_items(
    stream: BinaryIO, shard: str, options: ReadOptions, part: ArchivePart = WHOLE
) -> Iterator[tuple[str, Item]]:
    """Yield the items of a shard, each with a key that names its position: `notes.tar!a.jsonl#item-3.0`.

    part: which files of an archive to read; any other file belongs to the first part

    Every file of an archive is in exactly one part, keys do not depend on the number of parts, and all parts raise the
    same error.
    """
    plain = unpacked(stream)
    head = first_bytes(plain)
    is_archive, count = is_tar(head), 0
    try:
        if is_archive:
            for name, content in members(plain, is_shard_name, part.has_file):
                if content is not None:
                    for number, item in enumerate(_read_member(f"{shard}!{name}", content, options)):
                        yield f"{part.place(shard, name)}{ITEM_KEY}{count}.{number}", item
                count += 1
        elif part.number == 0:
            for item in _read(plain, head, shard, options):
                yield f"{shard}{ITEM_KEY}{count}", item
                count += 1
    except ShardError as error:
        unit = "files" if is_archive else "documents"
        raise ShardError(error.reason, f"after {count} {unit}: {error.detail}") from error
    if is_archive and not count:
        raise ShardError("no_documents", "an archive in which no file is input by its name")


def _read_member(name: str, content: BinaryIO | ShardError, options: ReadOptions) -> Iterator[Item]:
    """Yield the items of an archive's file; that it is damaged, or is none that is read, is one of them."""
    if isinstance(content, ShardError):
        yield Rejection(name, content.reason, content.detail)
        return
    try:
        stream = unpacked(content)
        yield from _read(stream, first_bytes(stream), name, options)
    except ShardError as error:
        yield Rejection(f"{name}{UNREADABLE}", error.reason, error.detail)


def format_of(stream: BinaryIO, shard: str, options: ReadOptions) -> str:
    """The name of the format that a shard is read as, or `tar`.

    Raises ShardError (`unknown_format`) if no reader reads it.
    """
    head = first_bytes(unpacked(stream))
    if is_tar(head):
        return "tar"
    return options.format or detect(shard, head).name


def _read(stream: Stream, head: bytes, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield the items of one file, and see that nothing comes in empty without a word."""
    reader = detect(shard, head) if options.format is None else _reader_named(options.format)
    is_empty = True
    for item in reader.read(stream, shard, options):
        is_empty = False
        yield _with_prefix(_with_text(item), shard, options.id_prefix)
    if is_empty:
        raise ShardError("no_documents", f"read as {reader.name}, it holds no document")


def _with_text(item: Item) -> Item:
    """The item, or its rejection if it is a document without text."""
    if not isinstance(item, Document) or item.text.strip():
        return item
    left_out = item.metadata.get("words_left_out", {})
    counts = ", ".join(f"{part} {words:,}" for part, words in left_out.items())
    return Rejection(item.doc_id, "empty_text", f"no text; words left out: {counts}" if counts else "no text")


def _with_prefix(item: Item, shard: str, prefix: str | None) -> Item:
    """The item with a prefix before its id, as the settings ask; ids by place in a shard are unique as they are."""
    if prefix is None or item.doc_id.startswith(shard):
        return item
    return replace(item, doc_id=f"{shard}#{item.doc_id}" if prefix == "shard" else f"{prefix}{item.doc_id}")


def detect(name: str, content: bytes) -> Reader:
    """The reader of a shard by its name and its first bytes.

    Raises ShardError (`unknown_format`) if neither tells.

    >>> detect("x.xml", b'<?xml version="1.0"?><PubmedArticleSet>').name
    'pubmed'
    """
    head = Head.of(name, content)
    for reader in READERS:
        if reader.magic is not None and content.startswith(reader.magic):
            return reader
    for reader in READERS:
        if head.suffix in reader.owned:
            return reader
    if (advice := advice_for(head)) is not None:
        raise ShardError("unknown_format", advice)
    if head.is_xml:
        return _by_element(head)
    for reader in READERS:
        if reader.matches(head):
            return reader
    if not content:
        raise ShardError("unknown_format", "an empty file")
    raise ShardError("unknown_format", "neither its name nor its first bytes tell the format")


def _by_element(head: Head) -> Reader:
    by_root = {root: reader for reader in READERS for root in reader.roots}
    for name in head.elements:
        if name in by_root:
            return by_root[name]
    raise ShardError("unknown_format", f"XML without any of {', '.join(by_root)} at its start")
