"""Passes over the shards: what came is kept however a pass ends, and the next one reads what is missing."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from ray.exceptions import RayTaskError, WorkerCrashedError

from craft_ray.annotation.account import Account
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.counts import ShardAccount
from craft_ray.annotation.passes import annotate_missing, is_death
from craft_ray.annotation.plan import Attempt
from craft_ray.storage.shards import Shard
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.ledger import Ledger
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, rows

Blocks = Callable[[Sequence[Shard], Attempt, threading.Event], Iterator[WrittenBlock]]


class Run:
    """A run over two shards of one document each, whose blocks come as a test says."""

    def __init__(self, output: Path, blocks: Blocks) -> None:
        self.output = output
        self.tables = Tables(STORAGE, str(output))
        self.account = Account(Arrivals([Shard(f"shard{number}", 9, number=number) for number in range(2)]))
        self.attempts: list[tuple[Attempt, list[int]]] = []
        self.stop, self.halted = threading.Event(), threading.Event()
        self._blocks = blocks

    def block(self, number: int) -> WrittenBlock:
        """The block of a shard, with its end."""
        end = ShardAccount(f"shard{number}", number, f"shard{number}", found=1, emitted=1)
        return replace(block(self.output, (f"doc{number}", "mouse"), shard=number), shard_accounts=[asdict(end)])

    def _pipeline(self, shards: Sequence[Shard], attempt: Attempt, halt: threading.Event) -> Iterator[WrittenBlock]:
        self.attempts.append((attempt, [shard.number for shard in shards]))
        yield from self._blocks(shards, attempt, halt)

    def annotate(self, on_progress: Callable[[Account], None] = lambda account: None) -> None:
        commits = Commits(self.tables, Ledger(), self.account, "run", "signature", 1.0)
        annotate_missing(self._pipeline, commits, self.account, self.stop, on_progress)

    @property
    def committed(self) -> list[str]:
        return [doc_id for doc_id, *_ in rows(self.output, "documents")]

    @property
    def finished(self) -> list[str]:
        return sorted(self.tables.finished_shards()["shard"].to_pylist())


def test_a_pass_after_a_death_reads_what_is_missing(tmp_path: Path):
    def blocks(shards: Sequence[Shard], attempt: Attempt, halt: threading.Event) -> Iterator[WrittenBlock]:
        yield run.block(shards[0].number)
        if attempt is Attempt.FIRST:
            raise WorkerCrashedError

    run = Run(tmp_path, blocks)
    run.annotate()
    assert run.attempts == [(Attempt.FIRST, [0, 1]), (Attempt.RETRY, [1])]
    assert (run.committed, run.finished) == (["doc0", "doc1"], ["shard0", "shard1"])
    assert run.account.adds_up()


def test_a_death_in_the_last_pass_ends_the_run(tmp_path: Path):
    def blocks(shards: Sequence[Shard], attempt: Attempt, halt: threading.Event) -> Iterator[WrittenBlock]:
        if attempt is Attempt.ISOLATE:
            yield run.block(0)
        raise WorkerCrashedError

    run = Run(tmp_path, blocks)
    with pytest.raises(WorkerCrashedError):
        run.annotate()
    assert run.attempts == [
        (Attempt.FIRST, [0, 1]),
        (Attempt.RETRY, [0, 1]),
        (Attempt.ISOLATE, [0, 1]),
        (Attempt.REJECT, [1]),
    ]
    assert (run.committed, run.finished) == (["doc0"], ["shard0"])


def test_an_error_ends_the_run_and_keeps_what_arrived(tmp_path: Path):
    def blocks(shards: Sequence[Shard], attempt: Attempt, halt: threading.Event) -> Iterator[WrittenBlock]:
        yield run.block(0)
        raise ValueError("no model stands this")

    run = Run(tmp_path, blocks)
    with pytest.raises(ValueError, match="no model stands this"):
        run.annotate()
    assert len(run.attempts) == 1
    assert (run.committed, run.finished) == (["doc0"], ["shard0"])


def test_a_signal_commits_what_arrived_and_halts_the_pipeline(tmp_path: Path):
    def blocks(shards: Sequence[Shard], attempt: Attempt, halt: threading.Event) -> Iterator[WrittenBlock]:
        yield run.block(0)
        if halt.wait(60):
            run.block(1)  # a task that was at work comes to its end
            run.halted.set()

    run = Run(tmp_path, blocks)
    run.annotate(lambda account: run.stop.set() if account.arrivals.shards_closed else None)
    assert run.halted.is_set()
    assert len(run.attempts) == 1
    assert (run.committed, run.finished) == (["doc0"], ["shard0"])
    assert [shard.name for shard in run.account.arrivals.missing()] == ["shard1"]


@pytest.mark.parametrize(
    ("error", "death"),
    [
        (WorkerCrashedError(), True),
        (RayTaskError("read", "a trace", WorkerCrashedError()), True),
        (RayTaskError("read", "a trace", ValueError("no")), False),
        (ValueError("no"), False),
    ],
)
def test_death_and_error_differ(error: Exception, death: bool):
    wrapped = RuntimeError("a stage failed")
    wrapped.__cause__ = error
    assert is_death(error) is is_death(wrapped) is death
