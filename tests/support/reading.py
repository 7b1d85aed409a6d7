"""Content of files, read by the readers."""

import io

import pytest

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Document, Item
from craft_ray.readers import read_shard
from craft_ray.readers.reader import ReadOptions


def read(content: bytes | str, name: str, **options) -> list[Item]:
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(read_shard(stream, name, ReadOptions(**options)))


def only(content: bytes | str, name: str, **options) -> Document:
    (found,) = read(content, name, **options)
    assert isinstance(found, Document), found
    return found


def sections(document: Item) -> list[tuple[str, str]]:
    assert isinstance(document, Document), document
    return [(section.name, document.text[section.start : section.end]) for section in document.sections]


def refused(content: bytes | str, name: str, **options) -> tuple[str, str]:
    with pytest.raises(ShardError) as raised:
        read(content, name, **options)
    return raised.value.reason, raised.value.detail


def jats(body: str = "", meta: str = "", after: str = "", attributes: str = "") -> str:
    front = f"<front><article-meta>{meta}</article-meta></front>" if meta else ""
    return f"<article {attributes}>{front}<body>{body}</body>{after}</article>"
