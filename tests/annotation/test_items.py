"""Items of a shard: what no table can hold is rejected, and so is an id that comes twice."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.annotation.items import (
    MAX_DEPTH,
    MAX_ID,
    MAX_VERSION,
    SeenIds,
    as_json,
    check_item,
    is_title_alone,
    reject_repeated,
    version_of,
)
from craft_ray.core.schema import Deletion, Document, Item, Rejection, Section, document_of
from craft_ray.tables.identity import IdHasher

KEY, SHARD = "in/a.jsonl#3", "in/a.jsonl"


def judged(*items: Item) -> list[Item]:
    """The items of one shard, checked together."""
    given = [(KEY, item, check_item(KEY, item, SHARD)) for item in items]
    return [checked.item for checked in reject_repeated(given, SeenIds(), IdHasher())]


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
        ("x" * (MAX_ID + 1), "bad_record"),
        ("x" * MAX_ID, None),
        ("\ud800", "bad_encoding"),
        ("mine#unreadable", "bad_record"),
        (f"{SHARD}!b.xml#unreadable", "bad_record"),
    ],
)
def test_unusable_ids(doc_id: str, why: str | None):
    (item,) = judged(document_of(doc_id, "A mouse."))
    assert reason(item) == (why and (KEY, why))


@pytest.mark.parametrize(("of", "stays"), [(f"{SHARD}!b.xml", True), ("another.tar!b.xml", False)])
def test_marks_of_archive_members(of: str, stays: bool):
    (item,) = judged(Rejection(f"{of}#unreadable", "bad_xml", "it ends early"))
    assert reason(item) == ((f"{of}#unreadable", "bad_xml") if stays else (KEY, "bad_record"))


def test_a_version_that_no_revision_has():
    """It would make all later revisions superseded."""
    given = [Document("a", "A mouse.", (), MAX_VERSION), Document("b", "A mouse.", (), 999_999_999)]
    assert [reason(item) for item in judged(*given, Deletion("c", 999_999_999))] == [
        None,
        (KEY, "bad_record"),
        (KEY, "bad_record"),
    ]


def test_duplicate_ids_of_a_shard():
    first, second = (Document("a", "A mouse.", (), version) for version in (1, 2))
    found = judged(first, second, first, Deletion("a"), document_of("b", "A rat."))
    assert [reason(item) for item in found] == [None, None, (KEY, "duplicate_id"), None, None]
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
def test_lone_surrogates(bad: Document):
    assert [reason(item) for item in judged(bad)] == [("a", "bad_encoding")]


@pytest.mark.parametrize(("levels", "why"), [(MAX_DEPTH, None), (MAX_DEPTH + 1, "bad_record"), (100_000, "bad_record")])
def test_depth_of_metadata(levels: int, why: str | None):
    (item,) = judged(Document("a", "A mouse.", (), metadata=nested(levels)))
    assert reason(item) == (why and ("a", why))


def test_details_are_cut_and_encoded():
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
def test_titles_alone(sections: list[str], alone: bool):
    assert is_title_alone(Document("a", "", tuple(Section(name, 0, 0) for name in sections))) is alone
    assert not is_title_alone(Rejection("title", "bad_xml", ""))


def test_metadata_is_valid_json():
    assert as_json({"p": float("nan"), "q": [float("-inf")], "r": 0.5, "s": 10**30}) == json.dumps(
        {"p": None, "q": [None], "r": 0.5, "s": 10**30}
    )


def test_versions():
    items = (Document("a", "", (), version=3), Deletion("a", 2), Rejection("a", "bad_xml", ""))
    assert [version_of(item) for item in items] == [3, 2, 0]


@given(st.lists(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 2)), max_size=6), max_size=8))
def test_seen_ids_are_a_set(groups: list[list[tuple[int, int]]]):
    seen, expected = SeenIds(), set()
    for group in groups:
        repeated = seen.add(*np.array(group, np.int64).reshape(-1, 2).T)
        for pair, is_repeated in zip(group, repeated.tolist(), strict=True):
            assert is_repeated == (pair in expected)
            expected.add(pair)


def test_seen_ids_take_eight_bytes_each():
    """A set of pairs took 119, which is 3.6 GB for a file of 30 million documents."""
    count, group = 400_000, 1024
    seen = SeenIds()
    tracemalloc.start()
    for start in range(0, count, group):
        ids = np.arange(start, start + group) * 0x5851F42D4C957
        seen.add(ids, np.ones(group, np.int64))
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert memory / count < 20
