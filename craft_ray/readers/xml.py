"""Streaming XML: resolves no external entities, expands no internal ones, and keeps one record in memory."""

import html.entities
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, BinaryIO

from lxml import etree

from craft_ray.core.errors import ShardError
from craft_ray.readers.limits import XML, BoundedReader

LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def iter_elements(
    stream: BinaryIO, tags: Collection[str], nested: bool = True, undeclared_entities: bool = False
) -> Iterator[etree._Element]:
    """Yield each element with one of `tags` when it ends, without its namespace. It is cleared when the next one is
    requested.

    nested: yield those within others too, which the others then lack
    undeclared_entities: keep entities that a document without an external DTD does not declare, as XML allows in one
        that has such a DTD

    Prefixes that are not declared are removed, and are no error.

    Raises ShardError: `bad_xml` where the stream stops being well-formed, `too_large` where an element does not end.
    Every element that ends before that point is yielded first.
    """
    wanted = tuple(f"{{*}}{tag}" for tag in tags)
    bounded = BoundedReader(stream, XML)
    parser = etree.XMLPullParser(
        events=("end",),
        tag=wanted,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        for element in _ended_elements(parser, bounded, undeclared_entities):
            if not nested and next(element.iterancestors(*wanted), None) is not None:
                continue
            _remove_namespace(element)
            if len(parser.feed_error_log):
                _remove_prefixes(element)
            yield element
            bounded.reset()
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        # The parser goes on after an error of namespaces, and raises it at the end.
        errors = parser.feed_error_log
        if all(entry.domain == etree.ErrorDomains.NAMESPACE for entry in errors) and len(errors):
            return
        last = errors.last_error  # the error itself often says no more than "no element found"
        raise ShardError("bad_xml", f"line {last.line}: {last.message}" if last else str(error)) from error


def _ended_elements(parser: etree.XMLPullParser, stream: BoundedReader, undeclared_entities: bool) -> Iterator[Any]:
    """Yield the elements that end in each block before the next block is read.

    Not `iterparse`: from lxml 6.2 on, it drops the elements that end before an error in the same block.

    Raises XMLSyntaxError after the elements that end before the error.
    """
    block = stream.read()
    if undeclared_entities:
        block = _with_external_dtd(block)
    while block:
        error = None
        try:
            parser.feed(block)
        except etree.XMLSyntaxError as raised:
            error = raised
        for _, element in parser.read_events():
            yield element
        if error is not None:
            raise error
        block = stream.read()
    parser.close()  # an early end: the elements that this closes are incomplete


_PROLOG = re.compile(rb"(?:\xef\xbb\xbf)?(?:<\?.*?\?>|<!--.*?-->|\s)*", re.DOTALL)
_DOCTYPE = re.compile(rb"<!DOCTYPE\s+[^\s>\[]+(?=\s*[>\[])")


def _with_external_dtd(start: bytes) -> bytes:
    """Make the start of a document refer to an external DTD, which is never read, if it does not refer to one.

    An entity that is not declared is an error without such a DTD, and a warning with one
    (https://www.w3.org/TR/xml/#wf-entdeclared).
    """
    prolog = _PROLOG.match(start)
    root = prolog.end() if prolog else 0
    if (own := _DOCTYPE.match(start, root)) is not None:
        return start[: own.end()] + b' SYSTEM ""' + start[own.end() :]
    is_root = start[root : root + 1] == b"<" and not start.startswith(b"<!DOCTYPE", root)
    return start[:root] + b'<!DOCTYPE article SYSTEM "">' + start[root:] if is_root else start


def text_of(element: Any, skip: Collection[str] = (), apart: Callable[[Any], bool] = lambda element: False) -> str:
    """All text within an element. Entities of HTML and ISO (`&alpha;`, `&agr;`) are replaced by their characters.

    skip:  names of elements that are replaced by a blank
    apart: whether an element must be separated from adjacent words by a blank
    """
    if not len(element):  # most have text alone
        return element.text or ""
    parts: list[str] = []
    _collect(element, skip, apart, parts)
    return "".join(parts)


def _collect(element: Any, skip: Collection[str], apart: Callable[[Any], bool], parts: list[str]) -> None:
    if parts and parts[-1][-1:].isalnum() and apart(element):
        parts.append(" ")
    if text := element.text:
        parts.append(text)
    for child in element:
        add_child(child, skip, apart, parts)


def add_child(child: Any, skip: Collection[str], apart: Callable[[Any], bool], parts: list[str]) -> None:
    """Append the text of a child and of its tail to `parts`, as `text_of` does."""
    if child.tag is etree.Entity:
        parts.append(_character(child.text))
    elif skip and local_name(child) in skip:
        parts.append(" ")
    else:
        _collect(child, skip, apart, parts)
    if tail := child.tail:
        if tail[0].isalnum() and parts and parts[-1][-1:].isalnum() and apart(child):
            parts.append(" ")
        parts.append(tail)


_GREEK_NAMES = "a b g d e z ee th i k l m n x o p r s t u ph kh ps oh sf"
_GREEK = dict(zip((f"{name}gr" for name in _GREEK_NAMES.split()), "αβγδεζηθικλμνξοπρστυφχψως", strict=True))
"""Greek letters of ISO 8879 (ISOgrk1), which HTML does not have: `&bgr;` is β and `&Bgr;` Β."""


def unknown_entities(element: Any) -> list[str]:
    """Names of the entities within an element that stay in its text as they are written, for lack of a character."""
    names = dict.fromkeys(
        entity.text for entity in element.iter(etree.Entity) if _character(entity.text) == entity.text
    )
    return [name[1:-1] for name in names]


def _character(entity: str) -> str:
    """The character of an entity of HTML or ISO; the entity itself if it has none. `&b.alpha;` is bold (ISOgrk4)."""
    name = entity[1:-1].removeprefix("b.")
    letter = _GREEK.get(name.lower())
    if letter is not None:
        return letter.upper() if name[0].isupper() else letter
    return html.entities.html5.get(f"{name};", entity)


def _remove_namespace(element: Any) -> None:
    """Rename an element and its descendants of the same namespace to their local names."""
    namespace, bracket, _ = element.tag.rpartition("}")
    if bracket:
        for found in element.iter(f"{namespace}}}*"):
            found.tag = local_name(found)


def _remove_prefixes(element: Any) -> None:
    """Remove prefixes that are not declared, which are part of the name for the parser."""
    for found in element.iter():
        if isinstance(found.tag, str) and ":" in (name := local_name(found)):
            found.tag = name.rpartition(":")[2]


def rename(element: Any, names: Mapping[str, str]) -> None:
    """Rename an element and those in it."""
    for found in element.iter(*names):
        found.tag = names[found.tag]


def local_name(element: Any) -> str:
    """Name of an element without its namespace; empty for entities."""
    return _local(element.tag)


@lru_cache(10_000)
def _local(tag: Any) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
