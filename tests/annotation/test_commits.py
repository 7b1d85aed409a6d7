"""Commits: when blocks that have arrived become part of the tables."""

from pathlib import Path

import pytest

from craft_ray.annotation import commits as module
from craft_ray.annotation.account import Account
from craft_ray.annotation.commits import Commits
from craft_ray.core.schema import SHARDS
from craft_ray.tables.known import read_known
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, rows


def test_revisions_of_a_run_are_replaced_at_once_and_not_each_time_that_shards_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "NOTE_AFTER", -1.0)
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "mouse"))])
    ledger = read_known(tables.documents, {}, SHARDS.empty_table()).ledger
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
