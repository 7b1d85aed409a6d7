import math
from collections import Counter
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.schema import ENTITIES
from craft_ray.report.queries import first_entities, nearest_document, pairs, top_by_year, top_mentions
from craft_ray.tables.database import database
from tests.support.outputs import open_tables, write_tables

entities = st.lists(
    st.tuples(
        st.sampled_from(["PMID:1", "PMID:2", "PMID:3"]),
        st.sampled_from([0, 50, 100]),
        st.sampled_from(["Protein", "Chemical"]),
        st.sampled_from(["Pax6", "ATP", "TNF-α"]),
    ),
    min_size=1,
    max_size=40,
)
"""Document, start of the sentence, label and mention."""


def dataset(rows: list[tuple[str, int, str, str]]) -> ds.Dataset:
    columns = dict.fromkeys(ENTITIES.names) | {"section": "text", "score": 0.5}
    full = [
        columns | {"doc_id": doc_id, "sentence_start": sentence, "label": label, "mention": mention}
        for doc_id, sentence, label, mention in rows
    ]
    return ds.dataset(pa.Table.from_pylist(full, schema=ENTITIES))


@given(rows=entities, by=st.sampled_from(["mentions", "documents"]), labels=st.sampled_from([(), ("Protein",)]))
def test_top_mentions(rows, by: str, labels):
    with database(entities=dataset(rows)) as connection:
        found = top_mentions(connection, labels, by, limit=3).to_pylist()
    mentions = Counter((label, mention) for _, _, label, mention in rows if not labels or label in labels)
    documents = Counter((label, mention) for _, label, mention in {(row[0], *row[2:]) for row in rows})
    count = mentions if by == "mentions" else documents
    expected = sorted(mentions, key=lambda key: (-count[key], *key))[:3]
    assert [(row["label"], row["mention"]) for row in found] == expected
    assert [(row["mentions"], row["documents"]) for row in found] == [(mentions[k], documents[k]) for k in expected]


@given(
    rows=entities,
    second=st.sampled_from(["Chemical", "Protein"]),
    within=st.sampled_from(["sentence", "document"]),
    by=st.sampled_from(["lift", "npmi"]),
)
def test_pairs(rows, second: str, within: str, by: str):
    with database(entities=dataset(rows)) as connection:
        found = pairs(connection, "Protein", second, by, at_least=1, limit=100, within=within).to_pylist()
    sentences: dict[tuple[str, int], set[tuple[str, str]]] = {}
    for doc_id, sentence, label, mention in rows:
        unit = (doc_id, sentence if within == "sentence" else 0)
        sentences.setdefault(unit, set()).add((label, mention))
    single = Counter(mention for mentions in sentences.values() for mention in mentions)
    together = Counter(
        (a, b)
        for mentions in sentences.values()
        for (label_a, a), (label_b, b) in product(mentions, mentions)
        if (label_a, label_b) == ("Protein", second) and (second != "Protein" or a < b)
    )
    assert {(row["first"], row["second"]): row[f"{within}s"] for row in found} == together
    for row in found:
        joint, n = row[f"{within}s"], len(sentences)
        apart = single["Protein", row["first"]] * single[second, row["second"]]
        assert row["lift"] == pytest.approx(joint * n / apart)
        expected = 1 if joint == n else math.log(joint * n / apart) / -math.log(joint / n)
        assert row["npmi"] == pytest.approx(expected, abs=1e-9)
        assert -1 <= row["npmi"] <= 1 + 1e-9
    assert [row[by] for row in found] == sorted((row[by] for row in found), reverse=True)


@pytest.mark.parametrize("concepts", [False, True])
def test_top_by_year(tmp_path: Path, concepts: bool):
    years = {"a": 2001, "b": 2001, "c": 2003, "d": None}
    entity = {"label": "Taxon", "start": 0, "end": 1}
    mentions = [("a", "mouse"), ("a", "mouse"), ("b", "mouse"), ("c", "mouse"), ("d", "mouse"), ("c", "rat")]
    rows = [
        entity | {"doc_id": doc_id, "mention": mention, "concept_id": f"T:{mention}", "concept_name": mention}
        for doc_id, mention in mentions
    ]
    write_tables(tmp_path, [{"doc_id": doc_id, "year": year} for doc_id, year in years.items()], rows)
    with open_tables(tmp_path).connect("entities", "documents", "ancestors", "xrefs") as connection:
        found = top_by_year(connection, concepts=concepts, limit=1).to_pylist()
    key = "concept" if concepts else "mention"
    assert [(row[key], row["year"], row["mentions"], row["documents"]) for row in found] == [
        ("mouse", 2001, 3, 2),
        ("mouse", 2003, 1, 1),
        ("mouse", None, 1, 1),
    ]


def test_nearest_document():
    documents = pa.table({"doc_id": ["PMID:26228458", "PMID:1", "notes/a.txt"]})
    with database(documents=ds.dataset(documents)) as connection:
        assert nearest_document(connection, "PMID:26228485") == "PMID:26228458"
        assert nearest_document(connection, "note/a.txt") == "notes/a.txt"
        assert nearest_document(connection, "an-id-of-another-kind") is None


def test_first_entities_of_many_files(tmp_path: Path):
    """The first document is in the oldest file, behind more rows than a scan returns at first."""
    for numbers in (range(1), range(100_000, 201_000)):
        documents = [{"doc_id": f"PMID:{number:06}", "n_entities": 1} for number in numbers]
        entity = {"label": "Taxon", "mention": "mouse", "start": 0, "end": 5}
        write_tables(tmp_path, documents, [entity | {"doc_id": row["doc_id"]} for row in documents])
    write_tables(tmp_path, [{"doc_id": "PMID:000001", "n_entities": 0}], [])
    with open_tables(tmp_path).connect("entities", "documents") as connection:
        assert first_entities(connection, 2)["doc_id"].to_pylist() == ["PMID:000000", "PMID:100000"]
