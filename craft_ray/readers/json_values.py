"""Values of a JSON stream, one at a time."""

import codecs
import json
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Rejection
from craft_ray.readers.limits import JSON, BoundedReader
from craft_ray.readers.reader import not_utf8

# Earlier versions match possessive groups wrongly: https://github.com/python/cpython/issues/106052
_ALL = b"*+" if sys.version_info >= (3, 11, 5) else b"*"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)%s"' % _ALL
_FLAT = rb'[^\[\]{}"]*+(?:%s[^\[\]{}"]*+)%s' % (_STRING, _ALL)
_TOKEN = re.compile(rb'%s|[\[\]{},:]|"' % _STRING, re.DOTALL)
"""A string or a mark of structure. A lone quote begins a string that the buffer cuts."""

_NEXT_BRACKET = re.compile(rb"%s(?:[\[{]%s[\]}]%s)%s([\[\]{}]?)" % (_FLAT, _FLAT, _FLAT, _ALL), re.DOTALL)
"""Up to the next bracket, past containers without others in them. Empty if the buffer ends before it."""

_DEPTHS = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}


_DECODER = json.JSONDecoder(parse_constant=lambda constant: None)


def parse_json(content: bytes, name: str) -> Any:
    """Parse one value, or return a Rejection of this name.

    NaN and the infinities, which Python and R write for what is missing, become None.
    """
    try:
        return _DECODER.decode(content.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        return Rejection(name, "bad_encoding", not_utf8(error))
    except (ValueError, RecursionError) as error:
        return Rejection(name, "bad_json", str(error))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file's records are: at which nesting depth, and under which keys a level higher (any if empty)."""

    level: int
    keys: tuple[str, ...] = ()


def find_layout(head: bytes, is_text: Callable[[str], bool], is_id: Callable[[str], bool]) -> Layout:
    """Find the records by the start of a file: the outermost objects that have a text column, within an array or under
    ids as in `{"7": {...}}`. Several objects in a row are records themselves, and so is one with an id.
    """
    containers: list[tuple[bytes, str]] = []  # those that are open, with the key of each in the one around it
    found: list[tuple[bytes, str]] = []
    string, key = b"", ""
    for token in _TOKEN.finditer(head):
        text = token.group()
        if text.startswith(b'"'):
            string = text
        elif text == b":":
            key = string[1:-1].decode("utf-8", "replace")
            if len(containers) == 1 and is_id(key):
                return Layout(0)
            if is_text(key) and (not found or len(containers) < len(found)):
                found = [*containers]
        elif text in (b"{", b"["):
            if token.start() and not containers:
                return Layout(0)
            containers.append((text, key))
            key = ""
        elif text == b",":
            key = ""
        elif containers:
            containers.pop()
    while len(found) > 1 and not (found[-1][0] == b"{" and (found[-2][0] == b"[" or _is_map(found))):
        found.pop()
    if not found:
        return Layout(int(head[:1] == b"["))
    above = found[-2] if len(found) > 1 else None
    return Layout(len(found) - 1, (above[1],) if above and above[0] == b"[" and above[1] else ())


def _is_map(containers: list[tuple[bytes, str]]) -> bool:
    """Whether the innermost container is a record under its id in the outermost object."""
    return len(containers) == 2 and any(map(str.isdigit, containers[1][1]))


def json_values(stream: BinaryIO, level: int, keys: Collection[str] = ()) -> Iterator[bytes]:
    """Yield the JSON of each value at nesting depth `level`, with `keys` of those under one of them a level higher.

    Values of an object become objects of their own, `{"key": value}`. Only the structure around values is checked.

    Raises ShardError: `bad_json` where the stream stops being JSON, `too_large` where a value does not end,
    `bad_record` if none of the keys occurs.
    """
    bounded = BoundedReader(stream, JSON, growing=True)
    wanted = {json.dumps(key).encode() for key in keys}
    is_wanted, found, in_object = not keys, not keys, False
    buffer, key = b"", b""
    depth = start = position = 0
    while chunk := bounded.read():
        buffer = buffer[start:] + chunk
        start, position = 0, position - start
        while token := _NEXT_BRACKET.match(buffer, position) if depth > level else _TOKEN.search(buffer, position):
            text = token.group(1) if depth > level else token.group()
            if text in (b"", b'"'):
                position = token.end() - len(text)
                break
            position = token.end()
            if text.startswith(b'"'):
                key = text
                continue
            before, depth = depth, depth + _DEPTHS.get(text, 0)
            if depth < 0:
                raise ShardError("bad_json", f"a bracket that nothing opened: {text.decode()}")
            if text == b":" and keys and depth == level - 1:
                is_wanted = key in wanted
                found |= is_wanted
            is_last = before == level and depth < before
            if is_last or (depth == level and text == b",") or (depth == level == 0 and before):
                value = buffer[start : position if level == 0 else token.start()].strip()
                bounded.reset()
                if value and is_wanted:
                    yield b"{%s}" % value if in_object else value
                start = position
            elif depth < level or (depth == level > before):
                start, in_object = position, text == b"{"
    if depth or buffer[start:].strip():
        raise ShardError("bad_json", "the stream ends within a value")
    if not found:
        raise ShardError("bad_record", f"JSON without {' or '.join(f'`{key}`' for key in keys)}")
