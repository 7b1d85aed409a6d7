"""Lists of missed and invented mentions, and scores that accept wrong borders."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.tags import Spans
from craft_ray.training.corpora import GoldDocument
from craft_ray.training.evaluation import list_errors
from craft_ray.training.metrics import overlaps, score_relaxed

NAMES = ("Cell", "Taxon")


def spans(*mentions: tuple[int, int, int]) -> Spans:
    """Mentions by first, last and label."""
    columns = np.array(mentions, np.int64).reshape(-1, 3).T
    return Spans(columns[0], columns[1], columns[2].astype(np.int8))


def documents(*texts: str) -> list[GoldDocument]:
    return [GoldDocument(f"d{number}", text, ()) for number, text in enumerate(texts)]


def test_errors_have_offsets_in_their_document():
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


def test_context_stays_in_its_document():
    texts = documents("x" * 50, "y" * 50 + "mouse" + "z" * 50)
    (row,) = list_errors(texts, spans((100, 104, 1)), spans(), NAMES).to_pylist()
    assert row["context"] == "y" * 40 + "mouse" + "z" * 40


def test_relaxed_scores_accept_overlaps():
    scores = score_relaxed(spans((0, 6, 0), (10, 12, 1)), spans((2, 6, 0), (0, 0, 0), (10, 12, 0), (20, 21, 1)), NAMES)
    assert scores["Cell"] == {"precision": 2 / 3, "recall": 1.0, "f1": 0.8}
    assert scores["Taxon"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert scores["all"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5}


some = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4), st.integers(0, 1)), max_size=8).map(
    lambda mentions: spans(*sorted({(first, first + more, label) for first, more, label in mentions}))
)


@given(some, some)
def test_overlaps_of_all_pairs(one: Spans, other: Spans):
    expected = [
        any(a[2] == b[2] and a[0] <= b[1] and b[0] <= a[1] for b in other.rows().tolist()) for a in one.rows().tolist()
    ]
    assert overlaps(one, other).tolist() == expected


@given(some, some)
def test_every_wrong_mention_is_listed(gold: Spans, predicted: Spans):
    rows = list_errors(documents("abcdefghijklmnopqrst"), gold, predicted, NAMES).to_pylist()
    sides = {"missed": gold.rows().tolist(), "invented": predicted.rows().tolist()}
    for error, other_side in (("missed", "invented"), ("invented", "missed")):
        listed = [row for row in rows if row["error"] == error]
        wrong = [span for span in sides[error] if span not in sides[other_side]]
        assert sorted([row["start"], row["end"] - 1, NAMES.index(row["label"])] for row in listed) == sorted(wrong)
        for row in listed:
            overlapping = [s for s in sides[other_side] if s[0] < row["end"] and s[1] >= row["start"]]
            assert len((row["instead"] or "").split("; ")) == max(1, len(overlapping))
            assert (row["instead"] is None) == (not overlapping)
