"""Files of object storage opened ahead of their turn, so that a reader of small files need not wait for each."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import BinaryIO

from craft_ray.storage.addresses import is_remote
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage

AHEAD = 4
"""Files that are fetched while one is read; each holds READ_AHEAD bytes at the most."""


def prefetch(storage: Storage, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Callable[[], BinaryIO]]]:
    """Yield each shard with what gives its stream, or raises what opening it raised."""
    if not any(is_remote(shard.name) for shard in shards):
        yield from ((shard, partial(storage.open, shard.name)) for shard in shards)
        return
    coming: deque[tuple[Shard, Future[BinaryIO]]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for shard in shards:
            coming.append((shard, pool.submit(storage.open, shard.name, shard.size)))
            if len(coming) > AHEAD:
                yield _next(coming)
        while coming:
            yield _next(coming)


def _next(coming: deque[tuple[Shard, Future[BinaryIO]]]) -> tuple[Shard, Callable[[], BinaryIO]]:
    shard, stream = coming.popleft()
    return shard, stream.result
