"""Values of JSON built one by one from a stream of parser events."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, BinaryIO

import ijson

from craft_ray.core.errors import ShardError
from craft_ray.readers.limits import JSON, BoundedReader

_STARTS = ("start_map", "start_array")
_DEEPEST = 128


def json_values(stream: BinaryIO, level: int, keys: Collection[str] = ()) -> Iterator[Any]:
    """Yield each value that stands `level` levels down, and under one of some keys a level above if those are given.

    What is nested in a value deeper than _DEEPEST is left out.

    Raises ShardError: `bad_json` where the stream stops being JSON, `too_large` where a value does not end,
    `bad_record` if there is none of the keys.
    """
    meter = BoundedReader(stream, JSON, growing=True)
    try:
        # Numbers that no float or 64-bit integer holds end the stream; without `use_float` they end the process.
        for value in _built(ijson.basic_parse(meter, use_float=True, multiple_values=True), level, keys):
            yield value
            meter.reset()
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise ShardError("bad_json", str(error)) from error


def _built(events: Iterable[tuple[str, Any]], level: int, keys: Collection[str]) -> Iterator[Any]:
    """Build the values. `ijson.items` does nearly this, but keeps the square of an array's depth."""
    depth, is_wanted, found = 0, not keys, not keys
    builder = ijson.ObjectBuilder()
    for event, value in events:
        depth -= event in ("end_map", "end_array")
        if keys and event == "map_key" and depth < level:
            is_wanted = depth == level - 1 and value in keys
            found |= is_wanted
        elif is_wanted and level <= depth < level + _DEEPEST:
            builder.event(event, value)
            if depth == level and event not in _STARTS:
                yield builder.value
                builder = ijson.ObjectBuilder()
        depth += event in _STARTS
    if not found:
        raise ShardError("bad_record", f"JSON without {' or '.join(f'`{key}`' for key in keys)}")
