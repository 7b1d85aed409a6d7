"""Streaming XML: resolves no external entities, expands no internal ones, and keeps one record in memory."""

import html
from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO

from lxml import etree

from craft_ray.core.errors import ShardError
from craft_ray.readers.limits import XML, BoundedReader

LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def iter_elements(stream: BinaryIO, tags: Collection[str]) -> Iterator[etree._Element]:
    """Yield each element with one of `tags` when it ends. It is cleared when the next one is requested.

    Raises ShardError: `bad_xml` where the stream stops being well-formed, `too_large` where an element does not end.
    """
    bounded = BoundedReader(stream, XML)
    parser = etree.iterparse(
        bounded,
        events=("end",),
        tag=tuple(tags),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        for _, element in parser:
            yield element
            bounded.reset()
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        last = parser.error_log.last_error  # the error itself often says no more than "no element found"
        raise ShardError("bad_xml", f"line {last.line}: {last.message}" if last else str(error)) from error


def text_of(element: Any, skip: Collection[str] = (), apart: Callable[[Any], bool] = lambda element: False) -> str:
    """All text within an element. Entities that HTML defines (`&alpha;`) are replaced by their characters.

    skip:  names of elements that are replaced by a blank
    apart: whether an element must be separated from adjacent words by a blank
    """
    parts: list[str] = []
    _collect(element, skip, apart, parts)
    return "".join(parts)


def _collect(element: Any, skip: Collection[str], apart: Callable[[Any], bool], parts: list[str]) -> None:
    if apart(element) and parts and parts[-1][-1:].isalnum():
        parts.append(" ")
    if element.text:
        parts.append(element.text)
    for child in element:
        add_child(child, skip, apart, parts)


def add_child(child: Any, skip: Collection[str], apart: Callable[[Any], bool], parts: list[str]) -> None:
    """Append the text of a child and of its tail to `parts`, as `text_of` does."""
    if child.tag is etree.Entity:
        parts.append(html.unescape(child.text))
    elif local_name(child) in skip:
        parts.append(" ")
    else:
        _collect(child, skip, apart, parts)
    if child.tail:
        if child.tail[0].isalnum() and parts and parts[-1][-1:].isalnum() and apart(child):
            parts.append(" ")
        parts.append(child.tail)


def remove_namespace(element: Any) -> None:
    """Rename an element and its descendants of the same namespace to their local names."""
    namespace, bracket, _ = element.tag.rpartition("}")
    if bracket:
        for found in element.iter(f"{namespace}}}*"):
            found.tag = local_name(found)


def local_name(element: Any) -> str:
    """Name of an element without its namespace; empty for entities."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
