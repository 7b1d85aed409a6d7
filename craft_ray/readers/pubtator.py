"""PubTator text (https://www.ncbi.nlm.nih.gov/research/pubtator3/): `PMID|t|title`, `PMID|a|abstract`, annotations.

Passages are joined by line feeds, which reproduces PubTator's offsets. Full text repeats the lines with one PMID, a
pair for each section. Annotations are not read.
"""

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from craft_ray.core.schema import Document, Item, Rejection
from craft_ray.readers.ids import own_id
from craft_ray.readers.limits import LINES, Record, bounded_lines, too_large
from craft_ray.readers.reader import Head, Reader, ReadOptions, not_utf8
from craft_ray.readers.text_builder import SEPARATOR, TextBuilder

_LINE = re.compile(rb"^([^|\t\n]+)\|([ta])\|(.*)$", re.DOTALL)


def read_pubtator(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each run of lines with one PMID. If its first title is repeated, a new document starts.

    Raises ShardError (`too_large`) if a run does not end.
    """
    current: bytes | None = None
    passages: list[tuple[bytes, bytes]] = []
    record = Record(LINES)
    for number, line in enumerate(bounded_lines(stream)):
        if line is None:
            yield Rejection(f"{shard}#{number}", "too_large", too_large().detail)
            continue
        line = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
        match = _LINE.match(line)
        if match is None:
            if line and b"\t" not in line:
                yield Rejection(f"{shard}#{number}", "bad_record", "neither a title, an abstract nor an annotation")
            continue
        key, part, text = match.groups()
        if key != current or (part == b"t" and (part, text) == passages[0]):
            if current is not None:
                yield _build_document(current, passages)
            current, passages = key, []
            record.reset()
        record.add(line + b"\n")
        passages.append((part, text))
    if current is not None:
        yield _build_document(current, passages)


def _build_document(key: bytes, passages: Sequence[tuple[bytes, bytes]]) -> Document | Rejection:
    name = key.decode("utf-8", "replace").strip()
    doc_id = own_id(name)
    builder = TextBuilder()
    title, offset = "", 0
    try:
        for number, (part, content) in enumerate(passages):
            text = content.decode("utf-8")
            section = {(b"t", 0): "title", (b"a", 0): "abstract", (b"a", 1): "abstract"}.get((part, number), "body")
            builder.add(section, text, offset)
            offset += len(text) + len(SEPARATOR)
            if section == "title":
                title = text
    except UnicodeDecodeError as error:
        return Rejection(doc_id, "bad_encoding", not_utf8(error))
    return Document(doc_id, builder.text, builder.sections, title=title or None)


def _is_pubtator(head: Head) -> bool:
    return _LINE.match(head.first_line) is not None


READER = Reader("pubtator", read_pubtator, suffixes=("pubtator",), matches=_is_pubtator)
