"""The order in which shards come, and the runs that they come in, change nothing in the tables."""

import io
import json
import random
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.annotation.account import Account
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.catalogue.existing import read_existing
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.plan import unsplittable_shards
from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.model.decode import Decoder
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Shard, Shards
from craft_ray.tables.ledger import Ledger
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, assert_consistent, document_rows, entity_rows, table
from tests.support.pubmed import citation, deletion

CHECKPOINT = load_checkpoint("stand-in")
TEXTS = ["Pax6 in mouse", "Genes expressed in rats", "A worm"]

contents = st.lists(  # of each shard: what it says of some citations, None for a deletion
    st.dictionaries(
        st.integers(1, 4), st.one_of(st.tuples(st.integers(1, 2), st.sampled_from(TEXTS)), st.none()), min_size=1
    ),
    min_size=2,
    max_size=4,
)


def pubmed(content: dict[int, tuple[int, str] | None]) -> bytes:
    citations = (citation(pmid, given[1], given[0]) for pmid, given in content.items() if given)
    deleted = deletion(*(pmid for pmid, given in content.items() if not given))
    return f"<PubmedArticleSet>{''.join(citations)}{deleted}</PubmedArticleSet>".encode()


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(prepare_model(CHECKPOINT, "cpu"))


def run(
    output: Path, model: Model, shards: dict[str, bytes], run_id: str, chance: random.Random, parts: int = 1
) -> Account:
    return annotate_into(Tables(STORAGE, str(output), f"20260101T00000{run_id}-00000000"), model, shards, chance, parts)


def annotate_into(
    tables: Tables, model: Model, shards: dict[str, bytes], chance: random.Random, parts: int = 1, compact: bool = False
) -> Account:
    """The steps of a run one after the other, its blocks in any order; archives are read in so many parts.

    The first pass loses some blocks, as when processes die; those behind it read again what is missing.
    """
    listed = Shards.from_shards([Shard(name, len(content)) for name, content in shards.items()])
    existing = read_existing(tables, listed, tables.finished_shards())
    listed = listed.with_numbers(existing.numbers)
    account = Account(Arrivals(listed))
    account.arrivals.unsplittable.update(unsplittable_shards(listed, existing, None))
    commits = Commits(tables, existing.ledger, account, tables.run_id, "", 1.0)
    read = np.array(sorted(shard.number for shard in listed), np.int64)
    write = WriteTask(STORAGE, tables.output, tables.run_id, Decoder.of(CHECKPOINT))
    for attempt in range(3):
        if not (missing := account.arrivals.missing()):
            break
        account.arrivals.restart(missing)
        ledger = Ledger([replace(existing.ledger.merged())])
        small = replace(CHECKPOINT, max_tokens=100, window_pieces=0)
        task = ReadTask.of(small, ids=tables.ids, ledger=ledger, rejected=existing.rejected, shard_numbers=read)
        preparer = Preprocessor(task, max_rows=1)
        prepared = [
            rows
            for shard in missing
            for count in [1 if shard.number in account.arrivals.unsplittable else parts]
            for part in range(count)
            for rows in prepared_part(preparer, shards[shard.name], shard, part, count)
        ]
        chance.shuffle(prepared)
        for rows in prepared if attempt else prepared[: chance.randint(0, len(prepared))]:
            commits.add(write_block(predict_block(rows, model), write))
            commits.commit(all=chance.random() < 0.3)
        commits.commit(all=True)
    commits.recount()
    tables.finish(compact)
    assert account.adds_up()
    assert tables.counts()["documents"] == commits.rows
    return account


def prepared_part(
    preparer: Preprocessor, content: bytes, shard: Shard, part: int = 0, parts: int = 1
) -> list[pa.Table]:
    return list(preparer.prepare(io.BytesIO(content), replace(shard, part=part, parts=parts)))


@given(contents=contents, seed=st.integers(0, 2**32))
def test_order_of_shards_and_runs_does_not_matter(model: Model, contents, seed: int):
    chance = random.Random(seed)
    shards = {f"pubmed26n{number:04}.xml": pubmed(content) for number, content in enumerate(contents)}
    groups: list[dict[str, bytes]] = [{} for _ in range(3)]
    for name, content in shards.items():
        chance.choice(groups)[name] = content
        if chance.random() < 0.3:
            chance.choice(groups)[name] = content
    with TemporaryDirectory() as folder:
        at_once, stepwise = Path(folder, "at_once"), Path(folder, "stepwise")
        run(at_once, model, shards, "1", chance)
        for night, group in enumerate(groups):
            if group:
                run(stepwise, model, group, f"{night}", chance)
        for output in (at_once, stepwise):
            assert_consistent(output)
        assert entity_rows(stepwise) == entity_rows(at_once)
        assert document_rows(stepwise, without=("shard",)) == document_rows(at_once, without=("shard",))


def test_a_late_shard_is_older_than_a_later_duplicate(model: Model, tmp_path: Path):
    chance = random.Random(0)
    first, late, last = (pubmed({1: (1, text)}) for text in ("A mouse", "A rat", "A mouse"))
    run(tmp_path, model, {"n1.xml": first}, "1", chance)
    assert run(tmp_path, model, {"n3.xml": last}, "2", chance).unchanged == 1
    run(tmp_path, model, {"n3.xml": last}, "3", chance)  # read again, it still counts as the later one
    assert run(tmp_path, model, {"n2.xml": late}, "4", chance).arrivals.superseded == 1
    assert [row["text"] for row in document_rows(tmp_path)] == ["A mouse"]


def test_duplicates_are_not_annotated_again(model: Model, tmp_path: Path):
    chance = random.Random(0)
    same = pubmed({1: (1, "A mouse"), 2: (1, "A rat")})
    run(tmp_path, model, {"n1.xml": same}, "1", chance)
    again = run(tmp_path, model, {f"n{number}.xml": same for number in range(2, 6)}, "2", chance)
    assert (again.tokens, again.unchanged, again.committed.documents) == (0, 8, 0)
    assert {row["run_id"] for row in table(tmp_path, "documents").to_pylist()} == {"20260101T000001-00000000"}
    late = run(tmp_path, model, {"n3a.xml": pubmed({1: (1, "A worm")})}, "3", chance)
    assert late.arrivals.superseded == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_revision_taken_back_in_one_run(model: Model, tmp_path: Path, seed: int):
    """In whatever order the two arrive, the text of the last is the one that the tables held before the run."""
    first, revised = (pubmed({1: (1, text)}) for text in ("A mouse", "A rat"))
    run(tmp_path, model, {"n1.xml": first}, "1", random.Random(seed))
    run(tmp_path, model, {"n2.xml": revised, "n3.xml": first, "n4.xml": first}, "2", random.Random(seed))
    assert [row["text"] for row in document_rows(tmp_path)] == ["A mouse"]
    last = run(tmp_path, model, {"n2.xml": revised}, "3", random.Random(seed))
    assert last.arrivals.superseded == 1


COLLIDING = ("aokfelnhmmklnabj", "fjibmdffnckikcac")
"""Ids whose BLAKE2b hashes of 64 bits are equal, unless a key is hashed with them."""


@pytest.mark.parametrize("ids", [COLLIDING, COLLIDING[::-1]])
def test_ids_cannot_be_made_to_collide(model: Model, tmp_path: Path, ids: tuple[str, str]):
    for night, doc_id in enumerate(ids):
        content = json.dumps({"id": doc_id, "text": "A mouse"}).encode() + b"\n"
        run(tmp_path, model, {f"n{1 - night}.jsonl": content}, f"{night}", random.Random(0))
    assert [row["doc_id"] for row in document_rows(tmp_path)] == sorted(ids)
