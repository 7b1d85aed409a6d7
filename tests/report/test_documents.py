"""Texts in segments, and documents drawn with what was found in them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.report import documents as samples
from craft_ray.tables.database import database, views
from craft_ray.tables.snapshots import Snapshot, open_snapshot
from tests.support.outputs import STORAGE, document, write_tables

TEXT = "α\U0001f9ec e\u0301 IL-2 of mice\r\nand \u202eTNF"
offsets = st.integers(0, len(TEXT) + 3)
spans = st.lists(st.fixed_dictionaries({"start": offsets, "end": offsets}), max_size=6)


@given(entities=spans, start=offsets, end=offsets)
def test_segments_are_the_text_whatever_the_offsets_are(entities, start: int, end: int):
    end = min(end, len(TEXT))
    found = list(samples.segments(TEXT, start, end, entities))
    assert "".join(segment.text for segment in found) == TEXT[start:end]
    at = start
    for segment in found:
        if segment.entity is not None:
            assert (segment.entity["start"], segment.entity["end"]) == (at, at + len(segment.text))
        at += len(segment.text)


def test_of_overlapping_entities_the_first_and_longest_is_marked():
    spans = [(5, 8), (0, 4), (0, 6), (6, 8)]
    entities = [{"start": start, "end": end} for start, end in spans]
    marked = [s.entity for s in samples.segments("abcdefgh", 0, 8, entities) if s.entity]
    assert marked == [{"start": 0, "end": 6}, {"start": 6, "end": 8}]


def test_a_long_document_is_shown_as_far_as_there_is_room():
    sections = [{"name": name, "start": at, "end": at + 10} for name, at in (("title", 0), ("a", 12), ("b", 22))]
    shown = samples.laid_out({"text": "x" * 40, "sections": sections}, [{"start": 18, "end": 20}], longest=16)
    assert [(name, "".join(s.text for s in found)) for name, found in shown.parts] == [
        ("title", "x" * 10),
        ("a", "x" * 6),
    ]
    assert (shown.shown, shown.length) == (16, 30)


def test_a_document_without_text_or_sections_is_shown_as_it_is():
    assert samples.laid_out({"text": None, "sections": None}, []).parts == []
    kept = {"text": None, "sections": [{"name": "text", "start": 0, "end": 9}]}
    assert (samples.laid_out(kept, []).parts, samples.laid_out(kept, []).length) == ([], 9)
    (part,) = samples.laid_out({"text": "abc", "sections": None}, []).parts
    assert part == ("text", [samples.Segment("abc")])


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Twenty documents in files of five, and one without entities."""
    for first in range(0, 20, 5):
        made = [
            document(f"D:{n:02}", f"Pax6 in mouse {n}", ("Protein", "Pax6"), ("Taxon", "mouse"))
            for n in range(first, first + 5)
        ]
        write_tables(tmp_path, [row for row, _ in made], [entity for _, found in made for entity in found])
    write_tables(tmp_path, [document("D:99", "nothing")[0]], [])
    return open_snapshot(STORAGE, str(tmp_path))


def chosen(snapshot: Snapshot, number: int, seed: int, at_most: int = 1_000) -> list[samples.ShownDocument]:
    with database(**views(snapshot)) as connection:
        return samples.choose_documents(connection, snapshot, number, seed, at_most)


def test_documents_are_drawn_by_a_seed_with_all_their_entities(snapshot: Snapshot):
    drawn = chosen(snapshot, 8, seed=1)
    assert len({sample.about["doc_id"] for sample in drawn}) == 8
    for sample in drawn:
        ((_, found),) = sample.parts
        assert [(s.text, s.entity["label"]) for s in found if s.entity] == [("Pax6", "Protein"), ("mouse", "Taxon")]
        assert "".join(s.text for s in found) == sample.about["text"]
    assert chosen(snapshot, 8, seed=1) == drawn
    assert chosen(snapshot, 8, seed=2) != drawn
    assert len(chosen(snapshot, 100, seed=1)) == 20
    assert chosen(snapshot, 0, seed=1) == []


def test_documents_whose_entities_would_take_too_much_to_find_are_passed_over(snapshot: Snapshot):
    ids = {sample.about["doc_id"] for sample in chosen(snapshot, 8, seed=1, at_most=10)}
    assert ids  # of one file of each label, which have five rows each
    assert len({int(doc_id[2:]) // 5 for doc_id in ids}) == 1
    assert chosen(snapshot, 8, seed=1, at_most=9) == []
