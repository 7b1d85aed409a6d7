"""Values of a JSON stream, one at a time."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Rejection
from craft_ray.readers.encoding import not_utf8
from craft_ray.readers.limits import JSON, BoundedReader

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_FLAT = rb'(?:[^\[\]{}"]++|%s)*+' % _STRING
_TOKEN = re.compile(rb'%s|[\[\]{},:]|"' % _STRING, re.DOTALL)
"""A string or a mark of structure. A lone quote begins a string that the buffer cuts."""

_NEXT_BRACKET = re.compile(rb"%s(?:[\[{]%s[\]}]%s)*+([\[\]{}]?)" % (_FLAT, _FLAT, _FLAT), re.DOTALL)
"""Up to the next bracket, past containers without others in them. Empty if the buffer ends before it."""

_DEPTHS = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}


def parse_json(content: bytes, name: str) -> Any:
    """Parse one value, or return a Rejection of this name.

    NaN and the infinities, which Python and R write for what is missing, become None.
    """
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=lambda constant: None)
    except UnicodeDecodeError as error:
        return Rejection(name, "bad_encoding", not_utf8(error))
    except (ValueError, RecursionError) as error:
        return Rejection(name, "bad_json", str(error))


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
