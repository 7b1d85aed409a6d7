"""A whole run in this process, without Ray: the same steps, with the stages called one after the other."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from craft_ray.annotation import passes
from craft_ray.annotation.account import Account
from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.context import RunContext
from craft_ray.annotation.passes import annotate_missing
from craft_ray.annotation.plan import Attempt, ReadingPlan, group_shards
from craft_ray.annotation.prepare import ReadTask, prepare_group
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.model.decode import Decoder
from craft_ray.model.inference import Model
from craft_ray.readers import read_options
from craft_ray.storage.shards import Shard
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.ledger import Ledger
from craft_ray.tables.records import RunRecord
from craft_ray.tables.writer import Tables


def annotate_locally(
    run: RunContext, reading: ReadingPlan, tables: Tables, account: Account, commits: Commits, record: RunRecord
) -> None:
    """`passes.annotate_shards` without Ray."""
    model = Model(run.model.deployed("cpu"))
    layout = make_plan(run.settings, [{"CPU": 1}])
    write = WriteTask(
        run.storage, run.output, run.run_id, Decoder.of(run.checkpoint), True, tables.partition_by, run.grounder
    )

    def pipeline(shards: Sequence[Shard], attempt: Attempt, halt: Event) -> Iterator[WrittenBlock]:
        account.arrivals.restart(shards)
        task = ReadTask.of(
            run.checkpoint,
            ids=tables.ids,
            ledger=Ledger([replace(reading.existing.ledger.merged())]),
            rejected=reading.existing.rejected,
            shard_numbers=account.arrivals.numbers,
            options=read_options(run.settings),
            with_ids=run.settings.prune,
        )
        for group in group_shards(shards, layout, attempt):
            for rows in prepare_group(group, run.storage, task, attempt):
                yield write_block(predict_block(rows, model), write)

    annotate_missing(pipeline, commits, account, run.stop, lambda account: None)


@contextmanager
def without_ray() -> Iterator[None]:
    """Runs of `annotate` in this process start no Ray."""

    def connect(run: RunContext) -> None:
        run.load_lexicon()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passes, "annotate_shards", annotate_locally)
        patched.setattr(RunContext, "connect", connect)
        yield


class ProcessGone(BaseException):
    """The end of a process, which runs no handlers."""


class Faults:
    """Counts the calls of a run that read or write, and has one of them fail.

    at:   number of the call, None for none
    kind: the process is gone "before" or "after" the call, or leaves a "torn" file of which only half is written; or
          the call raises an "error", or a "late error" although it was made; a "power cut" is an end "before" the call
    """

    def __init__(self, at: int | None = None, kind: str = "before") -> None:
        self.at, self.kind = at, kind
        self.calls: list[str] = []
        self.gone = False

    def wrap(self, patched: pytest.MonkeyPatch, owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(this: Any, *arguments: Any, **named: Any) -> Any:
            if self.gone:
                raise ProcessGone
            subject = next((one for one in arguments if isinstance(one, str)), getattr(this, "path", ""))
            self.calls.append(f"{name} {subject}")
            if len(self.calls) - 1 != self.at:
                return original(this, *arguments, **named)
            if self.kind == "torn" and name == "write_bytes":
                url, content = arguments
                original(this, url, content[: len(content) // 2])
            elif self.kind in ("after", "late error"):
                original(this, *arguments, **named)
            if self.kind.endswith("error"):
                raise OSError(errno.EIO, "a fault")
            self.gone = True
            raise ProcessGone

        patched.setattr(owner, name, call)
