"""Read documents from files of any supported format, compressed or in archives."""

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from craft_ray.core.errors import SettingsError, ShardError
from craft_ray.core.schema import UNREADABLE, Document, Item, Rejection
from craft_ray.core.settings import Settings
from craft_ray.readers import (
    archives,
    bioc,
    bits,
    csv,
    deletions,
    europepmc,
    grobid,
    jats,
    jsonl,
    medline,
    parquet,
    pubmed,
    pubtator,
    text,
)
from craft_ray.readers.archives import ITEM_KEY, ArchivePart, archive_files, archive_kind, file_key
from craft_ray.readers.compression import Stream, decompress, peek
from craft_ray.readers.reader import UTF_16, UTF_16_ADVICE, Head, Reader, ReadOptions
from craft_ray.readers.unsupported import advice_for

READERS: tuple[Reader, ...] = (
    pubmed.READER,
    jats.READER,
    bits.READER,
    europepmc.READER,
    grobid.READER,
    bioc.READER,
    pubtator.READER,
    medline.READER,
    csv.READER,
    jsonl.READER,
    parquet.READER,
    text.READER,
    deletions.READER,
)
"""All formats. If several match a file, the first one reads it."""


def is_shard_name(name: str) -> bool:
    """Whether a file found in a folder is input, judged by its name."""
    suffix = Head.of(name).suffix
    if suffix in archives.SUFFIXES or any(suffix in (*r.suffixes, *r.shared_suffixes) for r in READERS):
        return True
    # CSV in a folder is mostly a list of the other files, and those are not compressed.
    return suffix in csv.SUFFIXES and not name.lower().endswith(csv.SUFFIXES)


def is_archive_name(name: str) -> bool:
    """Whether a file is probably an archive, judged by its name. Reading goes by content."""
    return Head.of(name).suffix in archives.SUFFIXES


def read_options(settings: Settings) -> ReadOptions:
    """Extract the settings that change how documents are read. Raises SettingsError for an unknown format."""
    if settings.format is not None:
        _reader_by_name(settings.format)
    return ReadOptions(settings.format, settings.include, settings.id_column, settings.text_column, settings.id_prefix)


def _reader_by_name(name: str) -> Reader:
    for reader in READERS:
        if reader.name == name:
            return reader
    names = ", ".join(reader.name for reader in READERS)
    raise SettingsError(f"setting format: there is no reader {name!r}, only {names}")


def read_shard(stream: BinaryIO, shard: str, options: ReadOptions | None = None) -> Iterator[Item]:
    """Yield the documents and deletions of a file, and a rejection for each record that cannot be read.

    Decompresses and walks archives while reading.

    shard: name of the file; documents without an id of their own are named after it

    Raises ShardError where the rest of the file cannot be read, after yielding everything before that point.
    """
    for _, item in read_items(stream, shard, options or ReadOptions()):
        yield item


def read_items(
    stream: BinaryIO, shard: str, options: ReadOptions, part: ArchivePart | None = None
) -> Iterator[tuple[str, Item]]:
    """Like `read_shard`, with a unique key for each item: `a.jsonl#item-7`, or in an archive `a.tar!b.jsonl#item-3.0`.

    part: read only this part of an archive; a file that is no archive belongs to part 0

    Every file of an archive belongs to exactly one part, keys do not depend on the number of parts, and all parts end
    with the same error.
    """
    part = part or ArchivePart()
    plain = decompress(stream)
    head = peek(plain)
    is_archive, count = archive_kind(head) is not None, 0
    try:
        if is_archive:
            for name, content in archive_files(plain, is_shard_name, part.has_file):
                if content is not None:
                    for number, item in enumerate(_read_archive_file(f"{shard}!{name}", content, options)):
                        yield f"{file_key(shard, name)}{ITEM_KEY}{count}.{number}", item
                count += 1
        elif part.number == 0:
            for item in _read_plain(plain, head, shard, options):
                yield f"{shard}{ITEM_KEY}{count}", item
                count += 1
    except ShardError as error:
        unit = "files" if is_archive else "documents"
        raise ShardError(error.reason, f"after {count} {unit}: {error.detail}") from error
    if is_archive and not count:
        raise ShardError("no_documents", "an archive in which no file is input by its name")


def _read_archive_file(name: str, content: BinaryIO | ShardError, options: ReadOptions) -> Iterator[Item]:
    """Read one file of an archive. An unreadable one becomes a rejection, so that the files after it are read."""
    if isinstance(content, ShardError):
        yield Rejection(name, content.reason, content.detail)
        return
    try:
        stream = decompress(content)
        yield from _read_plain(stream, peek(stream), name, options)
    except ShardError as error:
        yield Rejection(f"{name}{UNREADABLE}", error.reason, error.detail)


def _read_plain(stream: Stream, head: bytes, name: str, options: ReadOptions) -> Iterator[Item]:
    reader = detect(name, head) if options.format is None else _reader_by_name(options.format)
    if head[:2] in UTF_16 and not Head.of(name, head).is_xml:
        raise ShardError("bad_encoding", UTF_16_ADVICE)
    is_empty = True
    for item in reader.read(stream, name, options):
        is_empty = False
        yield _add_prefix(_reject_empty(item), name, options)
    if is_empty:
        raise ShardError("no_documents", f"read as {reader.name}, it holds no document")


def _reject_empty(item: Item) -> Item:
    if not isinstance(item, Document) or item.text.strip():
        return item
    left_out = item.metadata.get("words_left_out", {})
    counts = ", ".join(f"{part} {words:,}" for part, words in left_out.items())
    return Rejection(item.doc_id, "empty_text", f"no text; words left out: {counts}" if counts else "no text")


def _add_prefix(item: Item, name: str, options: ReadOptions) -> Item:
    """Apply the setting `id_prefix`, except to ids that are derived from the file's own name, and so unique already.

    A list of deletions that is named as such has ids as they are in the tables.
    """
    prefix, is_own = options.id_prefix, item.doc_id == name or item.doc_id.startswith(f"{name}#")
    if prefix is None or is_own or options.format == deletions.READER.name:
        return item
    return replace(item, doc_id=f"{name}#{item.doc_id}" if prefix == "shard" else f"{prefix}{item.doc_id}")


def format_of(stream: BinaryIO, shard: str, options: ReadOptions) -> str:
    """Name of the format that a file is read as, or `tar` or `zip`. Raises ShardError (`unknown_format`)."""
    head = peek(decompress(stream))
    if (kind := archive_kind(head)) is not None:
        return kind
    return options.format or detect(shard, head).name


def detect(name: str, content: bytes) -> Reader:
    """Choose the reader of a file by its name and its first bytes.

    Raises ShardError (`unknown_format`) if no reader matches.

    >>> detect("x.xml", b'<?xml version="1.0"?><PubmedArticleSet>').name
    'pubmed'
    """
    head = Head.of(name, content)
    for reader in READERS:
        if reader.magic is not None and content.startswith(reader.magic):
            return reader
    for reader in READERS:
        if head.suffix in reader.suffixes:
            return reader
    if (advice := advice_for(head)) is not None:
        raise ShardError("unknown_format", advice)
    found = _by_element(head) if head.is_xml else None
    if found or (found := next((reader for reader in READERS if reader.matches(head)), None)):
        return found
    if not content:
        raise ShardError("unknown_format", "an empty file")
    if head.is_xml:
        root, known = next(head.elements, "?"), ", ".join(root for reader in READERS for root in reader.roots)
        raise ShardError("unknown_format", f"XML of another type: its root is {root}, without any of {known}")
    raise ShardError("unknown_format", "neither its name nor its first bytes tell the format")


def _by_element(head: Head) -> Reader | None:
    by_root = {root: reader for reader in READERS for root in reader.roots}
    return next((by_root[name] for name in head.elements if name in by_root), None)
