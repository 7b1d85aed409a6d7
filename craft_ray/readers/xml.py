"""Streaming XML that never fetches, never expands entities of its own and never holds more than one record."""

import html
from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO

from lxml import etree

from craft_ray.core.errors import ShardError
from craft_ray.readers.limits import XML, BoundedReader

LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
"""The attribute `xml:lang`."""


def xml_elements(stream: BinaryIO, tags: Collection[str]) -> Iterator[etree._Element]:
    """Yield each element with one of `tags` as it closes, and free it when the next one is asked for.

    Raises ShardError (`bad_xml`) where the stream stops being well-formed, or (`too_large`) where a record never
    ends; what came before it was yielded.
    """
    meter = BoundedReader(stream, XML)
    parser = etree.iterparse(
        meter,
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
            meter.reset()
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        last = parser.error_log.last_error  # the error itself often says no more than "no element found"
        raise ShardError("bad_xml", f"line {last.line}: {last.message}" if last else str(error)) from error


def text_of(element: Any, skip: Collection[str] = (), apart: Callable[[Any], bool] = lambda element: False) -> str:
    """All text within an element, in order; elements named in `skip` count as a blank, entity references as their text.

    Elements that `apart` tells are kept apart from a word right before or after them by a blank. Named entities that
    HTML knows (`&alpha;`) become their characters; others stay as written.
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
    """Append the text of a child and what follows it to the parts of its parent's text, as `text_of` does."""
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


def without_namespace(element: Any) -> None:
    """Rename an element, and what stands in it in the same namespace, to names without one."""
    namespace, bracket, _ = element.tag.rpartition("}")
    if bracket:
        for found in element.iter(f"{namespace}}}*"):
            found.tag = local_name(found)


def local_name(element: Any) -> str:
    """An element's name without its namespace; empty for what is no element."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
