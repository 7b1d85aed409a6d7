"""Passages of the values that records have as text: strings, lists of strings or of sections, and objects of these."""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from craft_ray.readers.ids import column_key

TEXT_COLUMNS = (
    *("title", "abstract", "abstracttext", "abstract_text", "question", "context", "contexts", "long_answer"),
    *("contents", "content", "page_content", "body", "body_text", "full_text", "fulltext", "article"),
    *("sections", "passages", "paragraphs", "sentences"),
)
"""Usual names of text columns if none is called `text`; all that are present are used, in this order."""

_HEADINGS = ("section", "heading", "section_title", "title", "name", "type")
"""Names of what names a section's text."""

_MAX_DEPTH = 8

_MARKUP = re.compile(r"</?(?:b|i|p|sub|sup|u|h[1-6]|ul|ol|li|br|em|strong|jats:\w+)\s*/?>", re.IGNORECASE)
_HEADING = re.compile(r"\s*<h4>([^<]*)</h4>\s*", re.IGNORECASE)


def passages(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the section and the text of each passage of a value.

    Raises TypeError for a value that is neither text, nor a list or object that has some.
    """
    if isinstance(value, str):
        yield from _marked_up(value, name) if column_key(name) == "abstracttext" else [(name, value)]
    elif isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        for item in value:
            if isinstance(item, list) and all(isinstance(word, str) and " " not in word for word in item):
                yield name, " ".join(item)  # the words of a sentence
            else:
                yield from passages(item, name, depth + 1)
    elif isinstance(value, Mapping) and depth < _MAX_DEPTH:
        yield from _object_passages(value, name, depth)
    elif value is not None:
        raise TypeError(type(value).__name__)


def _object_passages(value: Mapping[str, Any], name: str, depth: int) -> Iterator[tuple[str, str]]:
    by_key = {column_key(key): inner for key, inner in value.items()}
    texts = ["text"] if "text" in by_key else [key for key in TEXT_COLUMNS if key in by_key and key != "title"]
    heading = next((by_key[key] for key in _HEADINGS if isinstance(by_key.get(key), str) and by_key[key].strip()), "")
    if not texts:
        raise TypeError(f"an object without `text`, of {', '.join(value)}"[:200])
    for key in texts:
        yield from passages(by_key[key], f"{name}/{heading.strip()}" if heading else name, depth + 1)


def _marked_up(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Passages of the markup in which Europe PMC gives abstracts: `<h4>Methods</h4>Mice <i>ran</i>.`"""
    first, *parts = _HEADING.split(text)
    for heading, passage in [("", first), *zip(parts[::2], parts[1::2], strict=True)]:
        heading = heading.strip().rstrip(":.")
        yield f"{name}/{heading}" if heading else name, html.unescape(_MARKUP.sub("", passage)).strip()
