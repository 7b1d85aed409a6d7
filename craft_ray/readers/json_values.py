"""Values of a JSON stream, one at a time."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, BinaryIO

import ijson

from craft_ray.core.errors import ShardError
from craft_ray.readers.limits import JSON, BoundedReader

_STARTS = ("start_map", "start_array")
_MAX_DEPTH = 128


def json_values(stream: BinaryIO, level: int, keys: Collection[str] = ()) -> Iterator[Any]:
    """Yield each value at nesting depth `level`, if given only those under one of `keys` in the level above.

    Values more than _MAX_DEPTH levels deeper are left out.

    Raises ShardError: `bad_json` where the stream stops being JSON, `too_large` where a value does not end,
    `bad_record` if none of the keys occurs.
    """
    bounded = BoundedReader(stream, JSON, growing=True)
    try:
        # With use_float a number that fits no float or 64-bit integer ends the stream; without, the process.
        for value in _build(ijson.basic_parse(bounded, use_float=True, multiple_values=True), level, keys):
            yield value
            bounded.reset()
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise ShardError("bad_json", str(error)) from error


def _build(events: Iterable[tuple[str, Any]], level: int, keys: Collection[str]) -> Iterator[Any]:
    """Like `ijson.items`, which takes quadratic memory in the depth of an array."""
    depth, is_wanted, found = 0, not keys, not keys
    builder = ijson.ObjectBuilder()
    for event, value in events:
        depth -= event in ("end_map", "end_array")
        if keys and event == "map_key" and depth < level:
            is_wanted = depth == level - 1 and value in keys
            found |= is_wanted
        elif is_wanted and level <= depth < level + _MAX_DEPTH:
            builder.event(event, value)
            if depth == level and event not in _STARTS:
                yield builder.value
                builder = ijson.ObjectBuilder()
        depth += event in _STARTS
    if not found:
        raise ShardError("bad_record", f"JSON without {' or '.join(f'`{key}`' for key in keys)}")
