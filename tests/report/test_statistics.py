from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craft_ray.core.schema import DOCUMENTS, ENTITIES
from craft_ray.report.statistics import BINS, count_entities, figure, leading
from craft_ray.tables.database import database

entities = st.lists(
    st.tuples(
        st.sampled_from(["title", "abstract/METHODS", "body/Results", "body/2. RESULTS/Mice", "body/II. Results", ""]),
        st.sampled_from(["Protein", "Chemical"]),
        st.sampled_from(["IL-2", "IL2", "il 2", "IL\N{EN DASH}2", "ATP", "-", "'; DROP TABLE x"]),
        st.floats(0, 1, width=32),
    ),
    min_size=1,
    max_size=40,
)
"""Section, label, mention and score."""


def dataset(schema: pa.Schema, rows: list[dict]) -> ds.Dataset:
    return ds.dataset(pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema=schema))


def of_entities(rows) -> ds.Dataset:
    names = ("section", "label", "mention", "score")
    return dataset(ENTITIES, [dict(zip(names, row, strict=True)) for row in rows])


def form(mention: str) -> str:
    return "".join(c for c in mention.lower() if c not in " -\N{EN DASH}") or mention


@settings(max_examples=40)
@given(rows=entities, weight=st.sampled_from([1.0, 3.0]))
def test_mentions(rows, weight: float):
    with database(entities=of_entities(rows)) as connection:
        count_entities(connection, weight)
        found = figure(connection, "mentions", each=2, listed=2)
    for label in ("Chemical", "Protein"):
        spelled = Counter(mention for _, of, mention, _ in rows if of == label)
        forms: Counter[str] = Counter()
        for mention, count in spelled.items():
            forms[form(mention)] += count
        mine = [row for row in found if row["label"] == label]
        expected = sorted(forms.items(), key=lambda item: (-item[1], item[0]))[:2]
        assert [(row["form"], row["mentions"]) for row in mine] == [(f, n * weight) for f, n in expected]
        for row in mine:
            variants = sorted((-n, m) for m, n in spelled.items() if form(m) == row["form"])
            assert row["variants"] == len(variants)
            listed = [(-v["mentions"], v["mention"]) for v in row["spelled"]]
            assert listed == [(n * weight, m) for n, m in variants[:2]]


@settings(max_examples=30)
@given(rows=entities, weight=st.sampled_from([1.0, 2.0]))
def test_sections_and_scores(rows, weight: float):
    with database(entities=of_entities(rows)) as connection:
        count_entities(connection, weight)
        sections, scores = (figure(connection, name) for name in ("sections", "scores"))
    for found in (sections, scores):
        for label in ("Protein", "Chemical"):
            total = sum(of == label for _, of, _, _ in rows) * weight
            assert sum(row["entities"] for row in found if row["label"] == label) == total
    assert {row["section"] for row in sections} <= {"title", "abstract", "body/results", ""}
    for row in scores:
        mine = [s for _, label, _, s in rows if label == row["label"]]
        low, high = row["score"] - 1e-6, row["score"] + 1 / BINS + 1e-6
        assert any(low <= score <= high for score in mine)


def test_small_sections_are_summed_up():
    sections = [("body/A", 3), ("abstract", 2), ("body/B", 1), ("caption", 1)]
    rows = [(section, "Protein", "x", 0.5) for section, count in sections for _ in range(count)]
    with database(entities=of_entities(rows)) as connection:
        count_entities(connection)
        found = {row["section"]: row["entities"] for row in figure(connection, "sections", limit=2)}
    assert found == {"body/a": 3, "abstract": 2, "body, other": 1, "other": 1}


@pytest.fixture
def documents() -> ds.Dataset:
    annotated = {"status": "annotated", "n_entities": 2, "n_tokens": 10, "year": 2020}
    rejected = {"status": "rejected", "n_entities": 0, "n_tokens": 0, "shard": "s.xml"}
    rows = [
        annotated | {"doc_id": "a"},
        annotated | {"doc_id": "b", "n_entities": 0},
        annotated | {"doc_id": "c", "year": None},
        {"doc_id": "d", "status": "deleted", "n_entities": 0, "n_tokens": 0},
        *(rejected | {"doc_id": f"s.xml#{n}", "reason": "bad_xml", "detail": f"line {n}" * 100} for n in range(3)),
        rejected | {"doc_id": "s.xml#unreadable", "reason": "bad_gzip", "detail": "ends early"},
    ]
    return dataset(DOCUMENTS, rows)


def test_statuses_and_years(documents: ds.Dataset):
    with database(documents=documents) as connection:
        found = figure(connection, "statuses")
        years = figure(connection, "years")
    assert [tuple(row.values()) for row in found] == [
        ("annotated", None, 3, 4, 30, 1),
        ("deleted", None, 1, 0, 0, 0),
        ("rejected", "bad_gzip", 1, 0, 0, 0),
        ("rejected", "bad_xml", 3, 0, 0, 0),
    ]
    assert [tuple(row.values()) for row in years] == [(2020, 2, 2), (None, 1, 2)]


def test_rejected_documents_and_broken_shards(documents: ds.Dataset):
    with database(documents=documents) as connection:
        rejected = figure(connection, "rejected", each=2)
        broken = figure(connection, "broken")
    assert [(row["reason"], row["doc_id"], row["shard"]) for row in rejected] == [
        ("bad_xml", "s.xml#0", "s.xml"),
        ("bad_xml", "s.xml#1", "s.xml"),
    ]
    assert max(len(row["detail"]) for row in rejected) == 300
    assert broken == [{"shard": "s.xml", "reason": "bad_gzip", "detail": "ends early"}]


@settings(max_examples=20)
@given(rows=entities)
def test_number_expected_right_is_the_sum_of_scores(rows):
    with database(entities=of_entities(rows)) as connection:
        count_entities(connection)
        for step in figure(connection, "expected"):
            least = round(step["score"] * BINS)
            bins = [int(np.float32(score) * np.float32(BINS)) for *_, score in rows]
            scores = [row[-1] for row, bin in zip(rows, bins, strict=True) if min(bin, BINS - 1) >= least]
            assert step["entities"] == len(scores)
            assert abs(step["expected"] - sum(scores)) <= 0.5 + 1e-6


def test_doubtful_mentions():
    rows = (
        [("title", "Protein", "sure", 0.99)] * 30
        + [("title", "Protein", "unsure", 0.5)] * 8
        + [("title", "Taxon", "odd", 0.2)]
    )
    with database(entities=of_entities(rows)) as connection:
        count_entities(connection)
        found = figure(connection, "doubtful")
    assert [(row["mention"], row["mentions"], row["wrong"]) for row in found] == [("unsure", 8, 4), ("odd", 1, 1)]
    assert found[0]["score"] == pytest.approx(0.5)


def test_concepts_by_year_and_together():
    def row(doc_id: str, sentence: int, concept_id: str) -> dict:
        return {"doc_id": doc_id, "section": "text", "sentence_start": sentence, "concept_id": concept_id}

    # "a" and "b" share two of their three sentences and of their two, "a" and "c" one of three and one
    rows = [row("1", 0, "a"), row("1", 0, "a"), row("1", 0, "b"), row("1", 9, "b"), row("1", 9, "a")]
    rows += [row("2", 0, "a"), row("2", 0, "c"), row("2", 5, "d"), row("3", 0, "d")]
    documents = [{"doc_id": "1", "year": 2020}, {"doc_id": "2", "year": 2021}, {"doc_id": "3"}]
    with database(entities=dataset(ENTITIES, rows), documents=dataset(DOCUMENTS, documents)) as connection:
        years = figure(connection, "concept_years", ids=["a", "d"], weight=2.0)
        together = figure(connection, "together", ids=["a", "b", "c"])
        shares = [figure(connection, "together", ids=["a", "b", "c"], every=every) for every in (1, 2, 10**18)]
    assert [tuple(row.values()) for row in years] == [("a", 2020, 6), ("a", 2021, 2), ("d", 2021, 2)]
    assert [(row["first"], row["second"], row["sentences"]) for row in together] == [("a", "b", 2), ("a", "c", 1)]
    assert [len(share) for share in shares] == sorted((len(share) for share in shares), reverse=True)
    assert (shares[0], shares[2]) == (together, [])
    assert [row["strength"] for row in together] == [pytest.approx(2 / 6**0.5), pytest.approx(1 / 3**0.5)]


def test_first_rows_of_each_label():
    rows = [{"label": label, "n": n} for label in "ab" for n in range(3)]
    assert [(row["label"], row["n"]) for row in leading(rows, 2)] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
