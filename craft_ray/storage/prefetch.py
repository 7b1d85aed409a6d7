"""Open the next files of object storage while one is read."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import BinaryIO

from craft_ray.storage.addresses import is_remote
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage
from craft_ray.storage.streams import Stalls

AHEAD = 4
"""Files opened in advance; each holds at most READ_AHEAD bytes."""


def prefetch(storage: Storage, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Callable[[], BinaryIO]]]:
    """Yield each shard with a function that returns its stream, or raises the error of opening it."""
    if not any(is_remote(shard.name) for shard in shards):
        with closing(Stalls(storage.patience)) as stalls:
            yield from ((shard, partial(stalls.open, shard.name)) for shard in shards)
        return
    opening: deque[tuple[Shard, Future[BinaryIO]]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for shard in shards:
            opening.append((shard, pool.submit(storage.open, shard.name, shard.size)))
            if len(opening) > AHEAD:
                first, stream = opening.popleft()
                yield first, stream.result
        for first, stream in opening:
            yield first, stream.result
