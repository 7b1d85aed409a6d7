"""Commits: when blocks that have arrived become part of the tables."""

import logging
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from craft_ray.annotation import commits as module
from craft_ray.annotation.account import Account
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.shard_account import ShardAccount
from craft_ray.core.errors import RunError
from craft_ray.core.schema import SHARDS
from craft_ray.storage.shards import Shard, Shards
from craft_ray.tables import identity
from craft_ray.tables.known import read_known
from craft_ray.tables.ledger import Ledger, entries
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, rows


def test_revisions_of_a_run_are_replaced_at_once_and_not_each_time_that_shards_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "NOTE_AFTER", -1.0)
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "mouse"))])
    ledger = read_known(tables.documents, Shards.from_shards([]), SHARDS.empty_table()).ledger
    commits = Commits(tables, ledger, Account([]), "run", "signature", 1.0)
    before = tables.documents.version
    for shard, name in enumerate("ab", 1):
        commits.add(block(tmp_path, (name, "human"), shard=shard))
        commits.commit()
    commits.add(block(tmp_path, ("c", "rat"), shard=3))
    commits.commit()
    assert rows(tmp_path, "entities") == [("a", "mouse", "Taxon"), ("b", "mouse", "Taxon"), ("c", "rat", "Taxon")]
    commits.commit(all=True)
    assert rows(tmp_path, "entities") == [("a", "human", "Taxon"), ("b", "human", "Taxon"), ("c", "rat", "Taxon")]
    assert tables.documents.version == before + 2
    assert commits.rows == tables.counts()["documents"] == 3


def held(output: Path, max_rejected: float = 1.0) -> tuple[Tables, Ledger, Account, Commits]:
    """Tables that hold the document `a` of the first shard, and the commits of a run over them."""
    tables = Tables(STORAGE, str(output))
    tables.append([block(output, ("a", "mouse"))])
    ledger = read_known(tables.documents, Shards.from_shards([]), SHARDS.empty_table()).ledger
    account = Account([])
    return tables, ledger, account, Commits(tables, ledger, account, "run", "signature", max_rejected)


def test_a_document_given_once_more_after_its_deletion_in_this_run_is_superseded_and_counted_once(tmp_path: Path):
    _, ledger, account, commits = held(tmp_path)
    commits.add(block(tmp_path, ("a", ""), status="deleted", shard=1))
    id, key = identity.id_hash("a"), identity.key("a", "mouse", "")
    again = entries([id], [key], [identity.revision(1, 2, False)], [False])
    commits.add(replace(block(tmp_path, ("b", "rat"), shard=2), duplicates=again))
    commits.commit(all=True)
    assert (account.superseded, account.unchanged) == (1, 0)
    assert not ledger.held(id)["duplicate"]
    assert rows(tmp_path, "documents") == [("a", "deleted", 0), ("b", "annotated", 1)]


def test_commits_take_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tables, _, _, commits = held(tmp_path)
    clock = [1_000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def slow_append(blocks: object, append=tables.append) -> None:
        append(blocks)
        clock[0] += 0.1

    monkeypatch.setattr(tables, "append", slow_append)
    seen = []
    for name, later in (("b", 0.0), ("c", 1.5), ("d", 0.6)):
        clock[0] += later
        commits.add(block(tmp_path, (name, "rat"), shard=1))
        commits.commit()
        seen.append("".join(doc_id for doc_id, _, _ in rows(tmp_path, "documents")))
    assert seen == ["ab", "ab", "abcd"], "a commit of 0.1 s lets the next one wait for 2 s"


@pytest.mark.parametrize(("rejected", "stops"), [(20, False), (21, True)])
def test_a_run_stops_when_more_than_the_share_allowed_is_rejected(tmp_path: Path, rejected: int, stops: bool):
    *_, commits = held(tmp_path, max_rejected=0.2)
    commits.add(block(tmp_path, *((f"good{number}", "rat") for number in range(100 - rejected)), shard=1))
    commits.add(block(tmp_path, *((f"bad{number}", "") for number in range(rejected)), status="rejected", shard=1))
    if stops:
        with pytest.raises(RunError, match=f"{rejected} of 100 documents were rejected"):
            commits.commit(all=True)
    else:
        commits.commit(all=True)


def test_a_shard_is_noted_as_to_be_read_again_if_a_document_of_it_failed(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    account = Account([Shard(f"shard{number}", 9, "etag", number) for number in range(2)])
    commits = Commits(tables, Ledger(), account, "run", "signature", 1.0)
    for number, reason in enumerate(["failed", "bad_json"]):
        end = ShardAccount(f"shard{number}", number, f"shard{number}", found=1, emitted=1)
        rejected = block(tmp_path, (f"bad{number}", ""), status="rejected", shard=number)
        commits.add(replace(rejected, reason=[reason], shard_ends=[asdict(end)]))
    commits.commit(all=True)
    columns = ["shard", "size", "tag", "found", "signature", "run_id"]
    noted = tables.finished_shards().select(columns).sort_by("shard").to_pylist()
    same = {"size": 9, "tag": "etag", "found": 1, "run_id": "run"}
    assert noted == [
        {"shard": "shard0", "signature": None} | same,
        {"shard": "shard1", "signature": "signature"} | same,
    ]


def test_each_kind_of_commit_is_logged_with_its_documents(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    *_, commits = held(tmp_path)
    caplog.set_level(logging.INFO, "craft_ray")
    commits.add(block(tmp_path, ("b", "rat"), ("c", "rat"), shard=1))
    commits.add(block(tmp_path, ("a", "human"), shard=1))
    commits.commit(all=True)
    logged = [(record.kind, record.documents) for record in caplog.records if record.message == "committed"]
    assert logged == [("append", 2), ("replace", 1)]


def test_a_revision_is_not_committed_before_the_document_that_it_revises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A new document waits for its commit, and its revision of the same run is due."""
    clock = [1_000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(module, "REPLACE_AT", 1)
    tables, _, _, commits = held(tmp_path)
    append = tables.append
    monkeypatch.setattr(tables, "append", lambda blocks: append(blocks) or clock.append(clock.pop() + 0.1))
    commits.add(block(tmp_path, ("b", "rat"), shard=1))
    commits.commit()
    commits.add(block(tmp_path, ("c", "rat"), shard=1))
    commits.add(block(tmp_path, ("c", "human"), shard=2))
    commits.commit()
    commits.commit(all=True)
    assert [row[:2] for row in rows(tmp_path, "entities")] == [("a", "mouse"), ("b", "rat"), ("c", "human")]


def test_revisions_are_replaced_once_enough_of_them_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "REPLACE_AT", 2)
    *_, commits = held(tmp_path)
    seen = []
    for shard, text in enumerate(("rat", "human"), 1):
        commits.add(block(tmp_path, ("a", text), shard=shard))
        commits.commit()
        seen += [mention for _, mention, _ in rows(tmp_path, "entities")]
    assert seen == ["mouse", "human"]


def test_a_document_that_two_replacements_of_a_run_revise_is_superseded_once(tmp_path: Path):
    _, _, account, commits = held(tmp_path)
    for shard, text in enumerate(("rat", "human"), 1):
        commits.add(block(tmp_path, ("a", text), shard=shard))
        commits.commit(all=True)
    assert [mention for _, mention, _ in rows(tmp_path, "entities")] == ["human"]
    assert account.superseded == 1
