"""What has arrived of each shard: bytes, documents, and the end of the shard."""

import tracemalloc

import numpy as np

from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.counts import ShardAccount, changes
from craft_ray.storage.shards import Shard
from craft_ray.tables.ledger import Outcome


def shards(*sizes: int) -> list[Shard]:
    return [Shard("abc"[number], size, number=number) for number, size in enumerate(sizes)]


def arrive(arrivals: Arrivals, number: int, *outcomes: Outcome) -> None:
    arrivals.count(np.full(len(outcomes), number), changes(np.array(outcomes, np.int8), np.zeros(len(outcomes), bool)))


def close(arrivals: Arrivals, number: int, **counts: int) -> None:
    arrivals.close_part(ShardAccount("", number, "", **counts))


def finished(arrivals: Arrivals) -> list[str]:
    return [shard.name for shard, _ in arrivals.take_finished()]


def test_shards_without_an_end_are_never_closed():
    arrivals = Arrivals(shards(1, 2, 4))
    arrive(arrivals, 0, Outcome.NEW)
    close(arrivals, 0, found=1, emitted=1)
    close(arrivals, 1, found=2, emitted=2)
    assert finished(arrivals) == ["a"]
    assert arrivals.never_closed() == {2}
    assert [shard.name for shard in arrivals.missing()] == ["b", "c"]
    assert (arrivals.shards_closed, arrivals.bytes_done, arrivals.bytes_total) == (2, 3, 7)


def test_bytes_count_while_a_file_is_read():
    arrivals = Arrivals(shards(100, 50))
    read = []
    for number, position in ((0, 40), (1, 10), (0, 30), (0, 90)):  # blocks come in any order
        arrivals.read_to(number, 0, position)
        read.append(arrivals.bytes_done)
    assert read == [40, 50, 50, 100]
    arrivals.read_to(1, 0, 60)
    assert arrivals.bytes_done == 140, "no more than the file has"
    arrivals.restart(arrivals.shards)
    assert arrivals.bytes_done == 0


def test_a_late_block_of_a_finished_file_adds_no_bytes():
    arrivals = Arrivals(shards(10, 10))
    close(arrivals, 0)
    assert finished(arrivals) == ["a"]
    arrivals.read_to(0, 0, 9)
    assert arrivals.bytes_done == 10


def test_finished_files_take_no_memory():
    groups, files = 40, 100
    arrivals = Arrivals([Shard(f"{number}.txt", 10, number=number) for number in range(groups * files)])
    tracemalloc.start()
    memory = []
    for group in range(groups):
        for number in range(group * files, (group + 1) * files):
            arrive(arrivals, number, Outcome.NEW)
            arrivals.read_to(number, 0, 5)
            close(arrivals, number, found=1, emitted=1)
        arrivals.take_finished()
        memory.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert arrivals.all_finished
    assert (memory[-1] - memory[1]) / (groups * files) < 50
