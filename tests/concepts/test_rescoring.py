from math import log

import numpy as np
import pyarrow as pa
import pytest

from craft_ray.concepts.rescoring import FAMILIES, FEATURES, LENGTH, Rescoring, features

FITTED = Rescoring.from_json(
    {
        "weights": dict.fromkeys(FEATURES, 0.0)
        | {"score in document": 0.9, "mentions in document": 0.7, "found by corpus": 1.0, "found by none": -2.9},
        "intercept": -0.5,
        "thresholds": {"Protein": 0.3},
        "candidate_odds": {},
    }
)


def entities(*rows: tuple[int, str, str, float, str | None]) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    return pa.table(
        {
            "row": pa.array(columns[0], pa.int64()),
            "label": pa.array(columns[1], pa.string()),
            "mention": pa.array(columns[2], pa.string()),
            "score": pa.array(columns[3], pa.float32()),
            "concept_match": pa.array(columns[4], pa.string()),
        }
    )


def test_features():
    found = features(
        entities(
            (0, "Protein", "Pax-6", 0.5, "corpus folded"),
            (0, "Protein", "Pax-6", 0.9, "corpus folded"),
            (0, "Gene", "Pax-6", 0.9, "abbreviation"),
            (1, "Protein", "Pax-6", 0.9, None),
        ),
        ["x" * LENGTH, "x" * 10],
        {"Gene": 2.0},
    )
    assert list(found) == list(FEATURES)
    assert found["score"].tolist() == pytest.approx([0, log(9), log(9), log(9)], abs=1e-6)
    assert found["score in document"].tolist() == pytest.approx([log(9) / 2, log(9) / 2, log(9), log(9)], abs=1e-6)
    assert found["mentions in document"].tolist() == pytest.approx([log(2), log(2), 0, 0])
    assert found["added odds"].tolist() == [0, 0, 2, 0]
    assert found["words"].tolist() == [3, 3, 3, 3]
    assert found["document length"].tolist() == pytest.approx([0, 0, 0, log(10 / LENGTH)])
    families = np.column_stack([found[f"found by {family}"] for family in FAMILIES])
    assert [FAMILIES[index] for index in families.argmax(axis=1)] == ["corpus", "corpus", "variant", "none"]
    assert families.sum(axis=1).tolist() == [1, 1, 1, 1]
    assert found["score in document, found by none"].tolist() == pytest.approx([0, 0, 0, log(9)], abs=1e-6)


def test_known_and_frequent_names_score_higher():
    scores = FITTED.scores(
        entities(
            (0, "Protein", "Pax6", 0.9, "corpus"),
            *((0, "Protein", "Bub66", 0.9, None) for _ in range(20)),
            (0, "Protein", "Fig", 0.9, None),
        ),
        ["a text"],
    )
    known, often, neither = scores[0], scores[1], scores[-1]
    assert neither < FITTED.thresholds["Protein"] < often < known


def test_scores_do_not_depend_on_other_documents():
    rng = np.random.default_rng(7)
    rows = [
        (row, rng.choice(["Protein", "Gene"]), f"name {rng.integers(9)}", rng.random(), rng.choice(["name", "head"]))
        for row in range(50)
        for _ in range(rng.integers(1, 40))
    ]
    texts = ["x" * int(rng.integers(1, 9000)) for _ in range(50)]
    together = FITTED.scores(entities(*rows), texts)
    for document, text in enumerate(texts):
        mine = [n for n, row in enumerate(rows) if row[0] == document]
        alone = FITTED.scores(entities(*((0, *rows[n][1:]) for n in mine)), [text])
        assert alone.tobytes() == together[mine].tobytes()


def test_no_mentions():
    empty = entities((0, "Gene", "x", 0.5, None)).slice(0, 0)
    assert len(FITTED.scores(empty, [])) == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "needs weights, an intercept, thresholds and candidate_odds"),
        ({"weights": {}, "intercept": 0, "thresholds": {}, "candidate_odds": {}}, "a weight for each of: score, "),
        (FITTED.as_json() | {"intercept": "high"}, "weights that are not numbers"),
        (FITTED.as_json() | {"thresholds": {"Gene": float("nan")}}, "weights that are not numbers"),
        (FITTED.as_json() | {"candidate_odds": [1]}, "candidate_odds by label"),
        (FITTED.as_json() | {"thresholds": 0.3}, "thresholds and candidate_odds by label"),
        (FITTED.as_json() | {"more": 1}, "needs weights, an intercept, thresholds and candidate_odds"),
    ],
)
def test_invalid_json(value: object, message: str):
    with pytest.raises(ValueError, match=message):
        Rescoring.from_json(value)


def test_json_round_trip():
    assert Rescoring.from_json(FITTED.as_json()) == FITTED
