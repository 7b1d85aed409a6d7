"""`craft-ray show`: entities marked where they stand, and nothing that a terminal would obey."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from craft_ray.cli.app import app
from craft_ray.cli.show import print_document
from craft_ray.core.text import safe
from tests.support.hostile_output import write_hostile_output


def printed(document: dict, entities: list[dict], scores: bool = False, width: int = 200, **options) -> str:
    stream = io.StringIO()
    print_document(Console(file=stream, width=width, **options), document, entities, scores)
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


def texts(shown: str) -> list[str]:
    """The lines that `show` prints, without the marks of mentions."""
    while (fewer := re.sub(r"\[([^][|]+)\|\w+\]", r"\1", shown)) != shown:
        shown = fewer
    return shown.splitlines()


def test_ids_are_whole_in_80_columns():
    document = {"text": "Pax6 and Retinal ganglion cells.", "sections": []}
    one = entity(0, 4, "Protein") | {"mention": "Pax6", "score": 0.9, "concept_id": "PR:000012318", "gene_id": None}
    other = {"mention": "Retinal ganglion cells", "concept_id": "NCBITaxon:1008806", "gene_id": "NCBIGene:18508"}
    entities = [{**found, "concept_name": "a name of several words"} for found in (one, one | other)]
    lines = printed(document, entities, scores=True, width=80, force_terminal=True, color_system=None).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("NCBITaxon:1008806" in line for line in lines) == 1
    assert lines[-1].strip() == "without the columns gene_id; --json prints all"


def test_mentions_within_others_are_marked():
    document = {"text": "A retinal ganglion cell.", "sections": [{"name": "text", "start": 0, "end": 24}]}
    entities = [entity(2, 23, "Cell"), entity(2, 9, "Anatomy")]
    assert printed(document, entities).splitlines()[0] == "A [[retinal|Anatomy] ganglion cell|Cell]."
    shown = printed(document, entities, force_terminal=True, color_system="truecolor").splitlines()[0]
    assert re.fullmatch("A \x1b\\[[^m]+mretinal\x1b\\[0m\x1b\\[[^m]+m ganglion cell\x1b\\[0m\\.", shown), shown


def test_standard_input_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRAFT_RAY_MODEL", "stand-in")
    shown = CliRunner().invoke(app, ["show", "-"], input="Pax6 in the mouse.").output
    assert texts(shown)[0] == "Pax6 in the mouse." != shown.splitlines()[0]
    for name, text in (("a.txt", "One mouse."), ("b.txt", "Two mice.")):
        (tmp_path / name).write_text(text)
    every = texts(CliRunner().invoke(app, ["show", str(tmp_path), "--scores"]).output)
    assert every.index("One mouse.") < every.index("Two mice.")
    assert "Two mice." not in texts(CliRunner().invoke(app, ["show", str(tmp_path), "-n", "1"]).output)


def test_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRAFT_RAY_MODEL", "stand-in")
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "Pax6 in the mouse."}\n{"id": "2", "text": "A rat."}\n')
    shown = [json.loads(line) for line in run_show(str(tmp_path / "a.jsonl"), "--json").splitlines()]
    assert [document["doc_id"] for document in shown] == ["1", "2"]
    for document in shown:
        for entity in document["entities"]:
            assert document["text"][entity["start"] : entity["end"]] == entity["mention"]
    assert shown[0]["entities"]
    write_hostile_output(tmp_path / "tables")
    output = str(tmp_path / "tables")
    first = json.loads(run_show(output, "--json", "-n", "1"))
    stored = json.loads(run_show(first["doc_id"], "--in", output, "--json"))
    assert (stored["doc_id"], stored["entities"][0]["mention"]) == (first["doc_id"], first["mention"])


def run_show(*arguments: str) -> str:
    return CliRunner().invoke(app, ["show", *arguments], catch_exceptions=False).stdout
