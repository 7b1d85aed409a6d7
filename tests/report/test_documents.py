from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.highlight import Segment, segments
from craft_ray.report.documents import ShownDocument, choose_documents, lay_out
from craft_ray.tables.output import Output
from tests.support.outputs import document, open_tables, write_tables

TEXT = "α\U0001f9ec e\u0301 IL-2 of mice\r\nand \u202eTNF"
offsets = st.integers(0, len(TEXT) + 3)
spans = st.lists(st.fixed_dictionaries({"start": offsets, "end": offsets}), max_size=6)


@given(entities=spans, start=offsets, end=offsets)
def test_segments_join_to_the_text(entities, start: int, end: int):
    end = min(end, len(TEXT))
    found = list(segments(TEXT, start, end, entities))
    assert "".join(segment.text for segment in found) == TEXT[start:end]
    at = start
    for segment in found:
        assert "".join(inner.text for inner in segment.inner) in ("", segment.text)
        if segment.entity is not None:
            assert (segment.entity["start"], segment.entity["end"]) == (at, at + len(segment.text))
        at += len(segment.text)


def test_mentions_within_others_are_marked_and_of_crossing_ones_the_first():
    entities = [{"start": start, "end": end} for start, end in [(5, 8), (1, 4), (0, 6), (2, 3), (6, 8), (0, 6), (3, 5)]]

    def spans(found: Iterable[Segment]) -> list:
        return [(one.text, spans(one.inner)) for one in found if one.entity]

    inner = [("abcdef", [("bcd", [("c", [])])])]
    assert spans(segments("abcdefgh", 0, 8, entities)) == [("abcdef", inner), ("gh", [])]


def test_long_documents_are_cut():
    sections = [{"name": name, "start": at, "end": at + 10} for name, at in (("title", 0), ("a", 12), ("b", 22))]
    shown = lay_out({"text": "x" * 40, "sections": sections}, [{"start": 18, "end": 20}], max_length=16)
    texts = [(name, "".join(segment.text for segment in part)) for name, part in shown.parts]
    assert texts == [("title", "x" * 10), ("a", "x" * 6)]
    assert (shown.shown, shown.length) == (16, 30)


def test_documents_without_text_or_sections():
    assert lay_out({"text": None, "sections": None}, []).parts == []
    not_kept = lay_out({"text": None, "sections": [{"name": "text", "start": 0, "end": 9}]}, [])
    assert (not_kept.parts, not_kept.length) == ([], 9)
    assert lay_out({"text": "abc", "sections": None}, []).parts == [("text", [Segment("abc")])]


@pytest.fixture
def tables(tmp_path: Path) -> Output:
    """Twenty documents in files of five, and one without entities."""
    for first in range(0, 20, 5):
        made = [
            document(f"D:{n:02}", f"Pax6 in mouse {n}", ("Protein", "Pax6"), ("Taxon", "mouse"))
            for n in range(first, first + 5)
        ]
        write_tables(tmp_path, [row for row, _ in made], [entity for _, found in made for entity in found])
    write_tables(tmp_path, [document("D:99", "nothing")[0]], [])
    return open_tables(tmp_path)


def choose(tables: Output, number: int, seed: int) -> list[ShownDocument]:
    with tables.connect("documents") as connection:
        return choose_documents(connection, tables, number, seed)


def test_random_documents_come_with_all_their_entities(tables: Output):
    chosen = choose(tables, 8, seed=1)
    assert len({shown.about["doc_id"] for shown in chosen}) == 8
    for shown in chosen:
        ((_, part),) = shown.parts
        assert [(s.text, s.entity["label"]) for s in part if s.entity] == [("Pax6", "Protein"), ("mouse", "Taxon")]
        assert "".join(s.text for s in part) == shown.about["text"]
    assert choose(tables, 8, seed=1) == chosen
    assert choose(tables, 8, seed=2) != chosen
    assert len(choose(tables, 100, seed=1)) == 20
    assert choose(tables, 0, seed=1) == []
