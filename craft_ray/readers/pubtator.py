"""PubTator text (https://www.ncbi.nlm.nih.gov/research/pubtator3/): `PMID|t|title`, `PMID|a|abstract`, annotations.

The text is title, newline, abstract, so that offsets are PubTator's own. Annotation lines are not read.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.schema import Document, Item, Rejection
from craft_ray.readers.composing import Composer
from craft_ray.readers.limits import lines, too_large
from craft_ray.readers.reader import Head, Reader, ReadOptions

_LINE = re.compile(rb"^([^|\t\n]+)\|([ta])\|(.*)$", re.DOTALL)
_SECTIONS = {b"t": "title", b"a": "abstract"}


def read_pubtator(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each run of lines with one PMID; a second title or abstract begins another."""
    current: bytes | None = None
    parts: dict[bytes, bytes] = {}
    for number, line in enumerate(lines(stream)):
        if line is None:
            yield Rejection(f"{shard}#{number}", "too_large", too_large().detail)
            continue
        line = line.rstrip(b"\r\n")
        match = _LINE.match(line)
        if match is None:
            if line and b"\t" not in line:
                yield Rejection(f"{shard}#{number}", "bad_record", "neither a title, an abstract nor an annotation")
            continue
        key, part, text = match.groups()
        if key != current or part in parts:
            if current is not None:
                yield _document(current, parts)
            current, parts = key, {}
        parts[part] = text
    if current is not None:
        yield _document(current, parts)


def _document(key: bytes, parts: dict[bytes, bytes]) -> Document | Rejection:
    name = key.decode("utf-8", "replace").strip()
    doc_id = f"PMID:{name}" if name.isdecimal() else name
    composer = Composer()
    try:
        for part, section in _SECTIONS.items():
            composer.add(section, parts.get(part, b"").decode("utf-8"))
    except UnicodeDecodeError as error:
        return Rejection(doc_id, "bad_encoding", str(error))
    title = parts.get(b"t", b"").decode("utf-8")
    return Document(doc_id, composer.text, composer.sections, title=title or None)


def _is_pubtator(head: Head) -> bool:
    return _LINE.match(head.first_line) is not None


READER = Reader("pubtator", read_pubtator, suffixes=("pubtator",), owned=("pubtator",), matches=_is_pubtator)
