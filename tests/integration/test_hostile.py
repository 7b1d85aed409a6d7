"""One run over the whole hostile corpus, with good documents among it."""

from collections import Counter
from pathlib import Path

import pytest

import craft_ray
from craft_ray.core.schema import REASONS
from tests.conftest import SAMPLE
from tests.support.hostile.corpus import IDS, cases
from tests.support.hostile.making import OK, Case, line
from tests.support.outputs import assert_consistent, document_rows

pytestmark = pytest.mark.integration


SECONDS_EACH = {
    *("bomb-lists.json.gz", "bomb-elements.xml.gz", "bomb-comment.nxml.gz", "bomb-nul.txt.gz"),
    *("same.parquet", "lines.nbib", "lines.pubtator", "names.txt"),
}
"""Bombs of full size for the long tier alone; tests/readers/test_hostile.py reads smaller ones."""


@pytest.fixture(scope="module")
def corpus(request) -> list[Case]:
    long = request.config.getoption("long")
    return [case for case in cases(long) if long or case.name not in SECONDS_EACH]


@pytest.fixture(scope="module")
def folder(corpus: list[Case], tmp_path_factory) -> Path:
    """The corpus, the sample and a good file at either end."""
    made = tmp_path_factory.mktemp("hostile")
    for case in corpus:
        (made / case.name).write_bytes(case.make())
    for file in SAMPLE.iterdir():
        (made / file.name).write_bytes(file.read_bytes())
    (made / "0-first.jsonl").write_bytes(line("first"))
    (made / "z-last.jsonl").write_bytes(line("last"))
    return made


def test_every_hostile_input_has_its_outcome(local_ray: None, corpus: list[Case], folder: Path, tmp_path: Path):
    expected = {"first": OK, "last": OK}
    expected |= {"PMID:990000001": OK, "PMID:990000002": OK, "PMID:990000003": "deleted", "PMCID:PMC990000004": OK}
    for case in corpus:
        expected |= case.expected(f"{folder.name}/{case.name}")

    summary = craft_ray.annotate(str(folder), str(tmp_path), model="stand-in")
    rows = document_rows(tmp_path)
    found = {row["doc_id"]: row["reason"] or row["status"] for row in rows}
    assert found == expected
    assert summary["adds_up"]
    assert set(filter(None, (row["reason"] for row in rows))) <= set(REASONS)
    broken = {str(folder / case.name) for case in corpus if "@#unreadable" in case.outcome}
    assert set(summary["shards"]["broken"]) == broken
    statuses = Counter(status if status in (OK, "deleted") else "rejected" for status in expected.values())
    assert assert_consistent(tmp_path) == statuses

    again = craft_ray.annotate(str(folder), str(tmp_path), model="stand-in")
    documents = again["documents"]
    assert (documents["annotated"], documents["rejected"], documents["deleted"]) == (0, 0, 0)
    assert documents["found"] == documents["unchanged"] + documents["superseded"] == summary["documents"]["found"]
    assert document_rows(tmp_path) == rows


def test_ids_that_look_like_sql_replace_only_their_own_rows(local_ray: None, tmp_path: Path):
    """Revisions reach Delta's predicate."""
    file = tmp_path / "ids.jsonl"
    file.write_bytes(b"".join(line(doc_id, "A mouse.") for doc_id in [*IDS, "bystander"]))
    craft_ray.annotate(str(file), str(tmp_path / "out"), model="stand-in")
    file.write_bytes(b"".join(line(doc_id, "Two mice.") for doc_id in IDS))
    craft_ray.annotate(str(file), str(tmp_path / "out"), model="stand-in")
    texts = {row["doc_id"]: row["text"] for row in document_rows(tmp_path / "out")}
    assert texts == dict.fromkeys(IDS, "Two mice.") | {"bystander": "A mouse."}
    assert_consistent(tmp_path / "out")
