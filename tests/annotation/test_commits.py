"""Commits: when blocks that have arrived become part of the tables."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from craft_ray.annotation.account import Account
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.catalogue.existing import read_existing
from craft_ray.annotation.catalogue.shard_names import ROWS
from craft_ray.annotation.commits import CommitPolicy, Commits
from craft_ray.annotation.counts import ShardAccount
from craft_ray.core.errors import RunError
from craft_ray.storage.shards import Shard, Shards
from craft_ray.tables import identity
from craft_ray.tables.ledger import Ledger, entries
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, rows


class Clock:
    """A clock that stands still, apart from what a commit of new documents takes."""

    def __init__(self, tables: Tables, append_seconds: float) -> None:
        self.now = 1_000.0
        append: Callable[..., None] = tables.append

        def slow_append(blocks: object) -> None:
            append(blocks)
            self.now += append_seconds

        tables.append = slow_append  # type: ignore[method-assign]

    def __call__(self) -> float:
        return self.now


class Run:
    """The commits of a run, over tables that hold the document `a` of the first shard."""

    def __init__(self, output: Path, max_rejected: float = 1.0, append_seconds: float = 0, **policy: float) -> None:
        self.output = output
        self.tables = Tables(STORAGE, str(output))
        self.tables.append([block(output, ("a", "mouse"))])
        self.ledger = read_existing(self.tables, Shards.from_shards([]), ROWS.empty_table()).ledger
        self.account = Account()
        self.clock = Clock(self.tables, append_seconds)
        self.commits = Commits(
            self.tables,
            self.ledger,
            self.account,
            "run",
            "signature",
            max_rejected,
            CommitPolicy(**policy),
            self.clock,
        )

    def add(self, *documents: tuple[str, str], shard: int = 1, status: str = "annotated", all: bool = False) -> None:
        self.commits.add(block(self.output, *documents, shard=shard, status=status))
        self.commits.commit(all)

    @property
    def entities(self) -> list[tuple[str, str]]:
        return [row[:2] for row in rows(self.output, "entities")]


def test_revisions_are_collected_while_shards_are_recorded(tmp_path: Path):
    run = Run(tmp_path, record_after=-1.0)
    before = run.tables.documents.version
    run.add(("a", "human"))
    run.add(("a", "worm"), shard=2)
    run.add(("c", "rat"), shard=3)
    assert run.entities == [("a", "mouse"), ("c", "rat")]
    run.commits.commit(all=True)
    assert run.entities == [("a", "worm"), ("c", "rat")]
    assert run.tables.documents.version == before + 2
    assert run.commits.rows == run.tables.counts()["documents"] == 2


def test_a_duplicate_after_a_deletion_is_superseded(tmp_path: Path):
    run = Run(tmp_path)
    run.add(("a", ""), status="deleted")
    id, key = run.tables.ids.hash("a"), identity.key("a", "mouse", "")
    duplicate = entries([id], [key], [identity.revision(1, 2, False)], [False])
    run.commits.add(replace(block(tmp_path, ("b", "rat"), shard=2), duplicates=duplicate))
    run.commits.commit(all=True)
    assert (run.account.arrivals.superseded, run.account.unchanged) == (1, 0)
    assert not run.ledger.lookup(duplicate["id"])[0]["duplicated"][0]
    assert rows(tmp_path, "documents") == [("a", "deleted", 0), ("b", "annotated", 1)]


def test_commits_take_a_small_share_of_the_time(tmp_path: Path):
    run = Run(tmp_path, append_seconds=0.1)
    seen = []
    for name, later in (("b", 0.0), ("c", 1.5), ("d", 0.6)):
        run.clock.now += later
        run.add((name, "rat"))
        seen.append("".join(doc_id for doc_id, _, _ in rows(tmp_path, "documents")))
    assert seen == ["ab", "ab", "abcd"], "after a commit of 0.1 s the next one is due in 2 s"


@pytest.mark.parametrize(("rejected", "stops"), [(20, False), (21, True)])
def test_too_many_rejected_documents_end_the_run(tmp_path: Path, rejected: int, stops: bool):
    run = Run(tmp_path, max_rejected=0.2)
    run.add(*((f"good{number}", "rat") for number in range(100 - rejected)))
    bad = [(f"bad{number}", "") for number in range(rejected)]
    if stops:
        with pytest.raises(RunError, match=f"{rejected} of 100 documents were rejected"):
            run.add(*bad, status="rejected", all=True)
    else:
        run.add(*bad, status="rejected", all=True)


def test_shards_with_failed_documents_are_recorded_without_signature(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    account = Account(Arrivals([Shard(f"shard{number}", 9, "etag", number) for number in range(2)]))
    commits = Commits(tables, Ledger(), account, "run", "signature", 1.0)
    for number, reason in enumerate(["failed", "bad_json"]):
        end = ShardAccount(f"shard{number}", number, f"shard{number}", found=1, emitted=1)
        rejected = block(tmp_path, (f"bad{number}", ""), status="rejected", shard=number)
        commits.add(replace(rejected, reason=[reason], shard_accounts=[asdict(end)]))
    commits.commit(all=True)
    columns = ["shard", "size", "tag", "found", "signature", "run_id", "named"]
    recorded = tables.finished_shards().select(columns).sort_by("shard").to_pylist()
    same = {"size": 9, "tag": "etag", "found": 1, "run_id": "run"}
    assert recorded == [
        {"shard": "shard0", "named": "shard0", "signature": None} | same,
        {"shard": "shard1", "named": "shard1", "signature": "signature"} | same,
    ]


def test_a_waiting_document_is_appended_before_its_revision(tmp_path: Path):
    run = Run(tmp_path, append_seconds=0.1, replace_rows=1)
    run.add(("b", "rat"))
    run.commits.add(block(tmp_path, ("c", "rat"), shard=1))
    run.add(("c", "human"), shard=2)
    run.commits.commit(all=True)
    assert run.entities == [("a", "mouse"), ("b", "rat"), ("c", "human")]


def test_revisions_are_replaced_once_enough_wait(tmp_path: Path):
    run = Run(tmp_path, replace_rows=2)
    seen = []
    for shard, text in enumerate(("rat", "human"), 1):
        run.add(("a", text), shard=shard)
        seen.append(run.entities)
    assert seen == [[("a", "mouse")], [("a", "human")]]


@pytest.mark.parametrize("all", [True, False])
def test_a_document_revised_twice_is_superseded_once(tmp_path: Path, all: bool):
    run = Run(tmp_path)
    for shard, text in enumerate(("rat", "human"), 1):
        run.add(("a", text), shard=shard, all=all)
    run.commits.commit(all=True)
    run.commits.recount()
    assert run.entities == [("a", "human")]
    assert (run.account.arrivals.superseded, run.account.committed.documents) == (1, 1)
