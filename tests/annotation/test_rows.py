"""Rows: a document that no table could hold is rejected, and others are laid in columns as they are."""

import json
from typing import Any

import pyarrow as pa
import pytest

from craft_ray.annotation.rows import (
    DEEPEST,
    FAILURE,
    LONGEST_ID,
    TOKENIZED,
    Row,
    as_json,
    checked,
    columns_of,
    failure_of,
    is_title_alone,
    rejection_of,
    version_of,
)
from craft_ray.annotation.shard_account import ShardAccount
from craft_ray.core.schema import Deletion, Document, Item, Rejection, Section, document_of
from craft_ray.tables import identity
from tests.support.outputs import numbered_document

PLACE, SHARD = "in/a.jsonl#3", "in/a.jsonl"


def judged(*items: Item) -> list[Item]:
    """The items of one shard as they are checked one after the other."""
    seen: set[tuple[int, int]] = set()
    return [checked(item, seen, SHARD, PLACE) for item in items]


def reason(item: Item) -> tuple[str, str] | None:
    return (item.doc_id, item.reason) if isinstance(item, Rejection) else None


def nested(levels: int) -> dict[str, Any]:
    """Metadata of so many levels, lists and mappings by turns."""
    value: Any = 0
    for level in range(levels - 1):
        value = [value] if level % 2 else {"in": value}
    return {"out": value}


@pytest.mark.parametrize(
    ("doc_id", "why"),
    [
        ("", "bad_record"),
        ("x" * (LONGEST_ID + 1), "bad_record"),
        ("x" * LONGEST_ID, None),
        ("\ud800", "bad_encoding"),
        ("mine#unreadable", "bad_record"),
        (f"{SHARD}!b.xml#unreadable", "bad_record"),
    ],
)
def test_a_document_without_a_usable_id_is_rejected_by_its_place(doc_id: str, why: str | None):
    (item,) = judged(document_of(doc_id, "A mouse."))
    assert reason(item) == (why and (PLACE, why))


@pytest.mark.parametrize(("of", "stays"), [(f"{SHARD}!b.xml", True), ("another.tar!b.xml", False)])
def test_only_a_members_own_archive_marks_it_as_unreadable(of: str, stays: bool):
    (item,) = judged(Rejection(f"{of}#unreadable", "bad_xml", "it ends early"))
    assert reason(item) == ((f"{of}#unreadable", "bad_xml") if stays else (PLACE, "bad_record"))


def test_of_one_shard_an_id_is_taken_once_per_version_and_a_deletion_always():
    first, second = (Document("a", "A mouse.", (), version) for version in (1, 2))
    found = judged(first, second, first, Deletion("a"), document_of("b", "A rat."))
    assert [reason(item) for item in found] == [None, None, (PLACE, "duplicate_id"), None, None]
    assert judged(first, Deletion("a", 1)) == [first, Deletion("a", 1)]


BAD = "a lone \ud800 surrogate"


@pytest.mark.parametrize(
    "bad",
    [
        Document("a", BAD, ()),
        Document("a", "", (), title=BAD),
        Document("a", "", (), journal=BAD),
        Document("a", "", (), metadata={"deep": [{"er": BAD}]}),
        Document("a", "", (), metadata={BAD: 1}),
        Document("a", "", (Section(BAD, 0, 0),)),
    ],
)
def test_a_document_with_a_lone_surrogate_anywhere_is_rejected_by_its_id(bad: Document):
    assert [reason(item) for item in judged(bad)] == [("a", "bad_encoding")]


@pytest.mark.parametrize(("levels", "why"), [(DEEPEST, None), (DEEPEST + 1, "bad_record"), (100_000, "bad_record")])
def test_metadata_is_taken_to_a_depth_that_encoders_stand(levels: int, why: str | None):
    (item,) = judged(Document("a", "A mouse.", (), metadata=nested(levels)))
    assert reason(item) == (why and ("a", why))


def test_why_something_is_rejected_is_told_in_what_a_table_can_hold():
    long, short = (Rejection(name, "bad_xml", detail) for name, detail in (("a", "\ud800" * 1001), ("b", "it ends")))
    assert judged(long, short) == [Rejection("a", "bad_xml", "?" * 1000), short]


@pytest.mark.parametrize(
    ("sections", "alone"),
    [
        (["title"], True),
        (["Title", "trans-title"], True),
        (["title", "abstract"], False),
        (["text"], False),
        ([], False),
    ],
)
def test_a_title_alone_is_told_from_other_text(sections: list[str], alone: bool):
    assert is_title_alone(Document("a", "", tuple(Section(name, 0, 0) for name in sections))) is alone
    assert not is_title_alone(Rejection("title", "bad_xml", ""))


def test_metadata_is_json_that_every_reader_takes():
    assert as_json({"p": float("nan"), "q": [float("-inf")], "r": 0.5, "s": 10**30}) == json.dumps(
        {"p": None, "q": [None], "r": 0.5, "s": 10**30}
    )


def test_documents_and_deletions_have_versions_and_rejections_have_none():
    items = (Document("a", "", (), version=3), Deletion("a", 2), Rejection("a", "bad_xml", ""))
    assert [version_of(item) for item in items] == [3, 2, 0]


def test_a_row_tells_all_that_its_document_has_and_where_it_stands():
    sections = (Section("title", 0, 4), Section("abstract", 5, 9))
    given = Document("a", "Mice rats", sections, 2, "Mice", 1999, "A journal", {"pmc": "7"})
    rows = [Row(given, "annotated", "content", 5, 6), Row(Rejection("b", "bad_xml", "it ends"), "rejected", "", 7, 8)]
    account = ShardAccount(SHARD, 4, SHARD, part=1, parts=2, position=90)
    first, second = pa.table(columns_of(rows, account)).to_pylist()
    place = {"shard": SHARD, "shard_number": 4, "part": 1, "position": 90}
    assert first == place | {
        "doc_id": "a",
        "version": 2,
        "content_hash": "content",
        "status": "annotated",
        "reason": None,
        "detail": None,
        "key": 5,
        "id_hash": 6,
        "title": "Mice",
        "year": 1999,
        "journal": "A journal",
        "text": "Mice rats",
        "metadata": '{"pmc": "7"}',
        "sections": [{"name": "title", "start": 0, "end": 4}, {"name": "abstract", "start": 5, "end": 9}],
    }
    assert second == dict.fromkeys(first) | place | {
        "doc_id": "b",
        "version": 0,
        "content_hash": "",
        "status": "rejected",
        "reason": "bad_xml",
        "detail": "it ends",
        "key": 7,
        "id_hash": 8,
    }


def test_a_row_that_the_model_cannot_stand_becomes_its_rejection():
    given = pa.Table.from_pylist([numbered_document(1) | {"shard_number": 4}], schema=TOKENIZED)
    (row,) = rejection_of(given, "failed", "x" * 1001).to_pylist()
    told = {name: row[name] for name in ("doc_id", "status", "reason", "detail", "shard", "shard_number", "id_hash")}
    assert told == {
        "doc_id": "PMID:000001",
        "status": "rejected",
        "reason": "failed",
        "detail": "x" * 1000,
        "shard": "shard",
        "shard_number": 4,
        "id_hash": identity.id_hash("PMID:000001"),
    }
    assert (row["text"], row["token_ids"], row["n_tokens"]) == (None, [], 0)


def test_a_failure_is_a_row_of_the_same_columns():
    table = failure_of("no space left")
    (row,) = table.to_pylist()
    assert table.schema == TOKENIZED
    assert (row["status"], row["detail"]) == (FAILURE, "no space left")
