"""Documents on a terminal: entities marked where they stand, and nothing that a terminal would obey."""

import io

from rich.console import Console

from craft_ray.cli.rows import print_table
from craft_ray.cli.show import print_document
from craft_ray.core.text import safe


def printed(document: dict, entities: list[dict], **options) -> str:
    stream = io.StringIO()
    print_document(Console(file=stream, width=200, **options), document, entities)
    return stream.getvalue()


def entity(start: int, end: int, label: str) -> dict:
    return {"start": start, "end": end, "label": label}


TEXT = "TNF-α in mice\n𝛼-catenin"
DOCUMENT = {
    "doc_id": "PMID:1",
    "text": TEXT,
    "sections": [{"name": "title", "start": 0, "end": 13}, {"name": "abstract", "start": 14, "end": 23}],
}
ENTITIES = [entity(0, 5, "Protein"), entity(9, 13, "Taxon"), entity(14, 23, "Protein")]


def test_entities_are_marked_where_they_stand_in_each_section():
    shown = printed(DOCUMENT, ENTITIES)
    assert "[TNF-α|Protein] in [mice|Taxon]\n" in shown
    assert "abstract\n[𝛼-catenin|Protein]\n" in shown
    assert " Protein  2 " in shown


def test_on_a_colour_terminal_marks_are_colours_and_nothing_is_added_to_the_text():
    shown = printed(DOCUMENT, ENTITIES, force_terminal=True, color_system="truecolor")
    assert "[TNF-α|" not in shown
    assert "48;2;0;114;178mTNF-α\x1b[0m in " in shown


def test_what_a_terminal_would_obey_is_replaced_one_for_one():
    hostile = "a\x1b]0;owned\x07\x1b[2Jb\r\u202ec\x9bd"
    assert len(safe(hostile)) == len(hostile)
    document = {"doc_id": hostile, "text": hostile, "sections": [{"name": hostile, "start": 0, "end": len(hostile)}]}
    shown = printed(document, [entity(0, 3, hostile)])
    assert not set(shown) & set("\x1b\x07\r\u202e\x9b")


def test_a_rejected_document_shows_its_reason_and_a_withdrawn_one_says_so():
    assert "rejected: bad_json: line 3" in printed(
        {"doc_id": "x", "status": "rejected", "reason": "bad_json", "detail": "line 3"}, []
    )
    assert "deleted" in printed({"doc_id": "x", "status": "deleted", "text": None}, [])
    assert "without its text" in printed({"doc_id": "x", "status": "annotated", "text": None}, [])


def test_rows_of_any_type_are_shown():
    import pyarrow as pa

    stream = io.StringIO()
    rows = pa.table({"n": [1234, None], "score": [0.5, 1.0], "mention": ["[bold]\x1b", "b"]})
    print_table(Console(file=stream, width=100), rows.to_reader())
    assert "1234" in stream.getvalue()
    assert "[bold]\N{REPLACEMENT CHARACTER}" in stream.getvalue()
