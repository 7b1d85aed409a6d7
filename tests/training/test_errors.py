"""Errors of a model: what it missed and invented, and scores that forgive wrong borders."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.tags import Spans
from craft_ray.training.craft import GoldDocument
from craft_ray.training.errors import list_errors
from craft_ray.training.metrics import overlaps, score_relaxed

NAMES = ("Cell", "Taxon")


def spans(*mentions: tuple[int, int, int]) -> Spans:
    """Mentions by first, last and label, in the order of their coming."""
    columns = np.array(mentions, np.int64).reshape(-1, 3).T
    return Spans(columns[0], columns[1], columns[2].astype(np.int8))


def documents(*texts: str) -> list[GoldDocument]:
    return [GoldDocument(f"d{number}", text, (), {}) for number, text in enumerate(texts)]


def test_each_error_names_its_document_its_place_in_it_and_what_stands_there_instead():
    texts = documents("A mouse.", "", "T cells of mice.")
    gold = spans((2, 6, 1), (8, 14, 0), (19, 22, 1))
    predicted = spans((2, 6, 1), (10, 14, 0), (8, 8, 1))
    rows = list_errors(texts, gold, predicted, NAMES).to_pylist()
    assert [tuple(row.values())[:7] for row in rows] == [
        ("invented", "d2", 0, 1, "Taxon", "T", "Cell: T cells"),
        ("missed", "d2", 0, 7, "Cell", "T cells", "Taxon: T; Cell: cells"),
        ("invented", "d2", 2, 7, "Cell", "cells", "Cell: T cells"),
        ("missed", "d2", 11, 15, "Taxon", "mice", None),
    ]
    assert {row["context"] for row in rows} == {"T cells of mice."}


def test_context_is_as_wide_on_both_sides_and_stays_in_its_document():
    (row,) = list_errors(
        documents("x" * 50, "y" * 50 + "mouse" + "z" * 50), spans((100, 104, 1)), spans(), NAMES
    ).to_pylist()
    assert row["context"] == "y" * 40 + "mouse" + "z" * 40


def test_a_mention_that_overlaps_one_of_its_label_is_right_where_borders_are_forgiven():
    scores = score_relaxed(spans((0, 6, 0), (10, 12, 1)), spans((2, 6, 0), (0, 0, 0), (10, 12, 0), (20, 21, 1)), NAMES)
    assert scores["Cell"] == {"precision": 2 / 3, "recall": 1.0, "f1": 0.8}
    assert scores["Taxon"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert scores["all"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5}


some = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4), st.integers(0, 1)), max_size=8)


@given(some, some)
def test_overlaps_are_those_of_a_comparison_of_all_pairs(one: list, other: list):
    mine, theirs = (spans(*((first, first + more, label) for first, more, label in side)) for side in (one, other))
    expected = [
        any(a[2] == b[2] and a[0] <= b[1] and b[0] <= a[1] for b in theirs.rows().tolist())
        for a in mine.rows().tolist()
    ]
    assert overlaps(mine, theirs).tolist() == expected


@given(some, some)
def test_every_wrong_mention_is_listed_once_with_all_that_overlaps_it(one: list, other: list):
    gold, predicted = (
        spans(*sorted({(first, first + more, label) for first, more, label in side})) for side in (one, other)
    )
    rows = list_errors(documents("abcdefghijklmnopqrst"), gold, predicted, NAMES).to_pylist()
    sides = {"missed": gold.rows().tolist(), "invented": predicted.rows().tolist()}
    for error, other_side in (("missed", "invented"), ("invented", "missed")):
        listed = [(row["start"], row["end"] - 1, NAMES.index(row["label"])) for row in rows if row["error"] == error]
        wrong = [tuple(span) for span in sides[error] if span not in sides[other_side]]
        assert sorted(listed) == sorted(wrong)
        for row in (row for row in rows if row["error"] == error):
            beside = [s for s in sides[other_side] if s[0] < row["end"] and s[1] >= row["start"]]
            assert len((row["instead"] or "").split("; ")) == max(1, len(beside))
            assert (row["instead"] is None) == (not beside)
