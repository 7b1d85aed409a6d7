"""Replaced documents: which files are rewritten, and which of them get the new rows."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from craft_ray.tables import rewriting
from craft_ray.tables.blocks import DataFile
from craft_ray.tables.ledger import Outcome
from craft_ray.tables.replacing import Replacement, plan_replacements
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, rows
from tests.tables.test_rewriting import location


def file(first: str, last: str = "", rows: int = 10, **partition: str) -> DataFile:
    return DataFile(f"{first}-{last}.parquet", 1, rows, first, last or first, partition)


def doc_ids(output: Path, file: DataFile, name: str = "documents") -> list[str]:
    return pq.ParquetFile(output / name / file.path).read(["doc_id"])["doc_id"].to_pylist()


def test_only_files_that_cover_an_id_are_rewritten(tmp_path: Path):
    files = [file("a", "c"), file("d", "f"), file("g", "i"), DataFile("x", 1, 1, "", "")]
    found, _ = plan_replacements(location(tmp_path), files, [], pa.array(["b", "bb", "g"]))
    assert [(one.file.path, one.dropped.to_pylist()) for one in found] == [
        ("a-c.parquet", ["b", "bb"]),
        ("g-i.parquet", ["g"]),
        ("x", ["b", "bb", "g"]),
    ]


def test_removing_unknown_documents_changes_nothing(tables: Tables, tmp_path: Path):
    """One commit may not add and remove the same file."""
    tables.append([block(tmp_path, ("a", "mouse"), ("c", "rat"))])
    assert tables.remove(pa.array(["b"])) == 0
    for name in ("entities", "documents"):
        assert '"remove"' not in sorted((tmp_path / name / "_delta_log").glob("*.json"))[-1].read_text()
    assert [row[0] for row in rows(tmp_path, "documents")] == ["a", "c"]


def taken(found: Sequence[Replacement]) -> dict[str, str]:
    """By file, the documents whose new rows it takes."""
    return {one.file.first_id + one.file.last_id: "".join(one.taken) for one in found}


def test_new_rows_go_to_the_densest_file():
    files = [file("a", "z", rows=20), file("b", "d"), file("f", "h"), file("p", "q")]
    touched, _ = plan_replacements(location(Path()), files, [file("b", "x")], pa.array(["b", "d", "e", "g", "x"]))
    assert taken(touched) == {"az": "ex", "bd": "bd", "fh": "g"}
    assert [one.dropped.to_pylist() for one in touched] == [["b", "d", "e", "g", "x"], ["b", "d"], ["g"]]


def test_file_takes_at_most_as_many_documents_as_it_has_rows():
    files = [file("a", "z", rows=3), file("a", "y", rows=2)]
    touched, rest = plan_replacements(location(Path()), files, [file("a", "f")], pa.array(list("abcdef")))
    assert taken(touched) == {"az": "abc", "ay": "de"}
    assert [one.dropped.to_pylist() for one in rest] == [list("abcde")], "the last one's rows stay in the new file"


def test_new_rows_stay_within_their_partition():
    files = [file("a", "c", label="Taxon"), file("a", "c", label="Cell")]
    touched, rest = plan_replacements(location(Path()), files, [file("a", "b", label="Cell")], pa.array(["a", "b"]))
    assert [(one.file.partition["label"], list(one.taken)) for one in touched] == [("Taxon", []), ("Cell", ["a", "b"])]
    assert [one.file.partition["label"] for one in rest] == ["Cell"]


def test_new_rows_replace_old_ones_in_their_files(tables: Tables, tmp_path: Path):
    for names in ("abc", "def"):
        tables.append([block(tmp_path, *((name, "mouse") for name in names))])
    new = [block(tmp_path, *((name, "human") for name in names), shard=1) for names in ("eb", "ac")]
    assert tables.replace(new, [all_of(one) for one in new]) == 4
    for name in ("documents", "entities"):
        found = sorted(tables.by_name[name].files(), key=lambda file: file.first_id)
        assert [(one.first_id, one.last_id, doc_ids(tmp_path, one, name)) for one in found] == [
            ("a", "c", ["a", "b", "c"]),
            ("d", "f", ["d", "e", "f"]),
        ]
    mentions = ["human"] * 3 + ["mouse", "human", "mouse"]
    assert [row[1] for row in rows(tmp_path, "entities")] == mentions


def test_row_groups_stay_sorted(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rewriting, "MIN_ROWS", 2)
    monkeypatch.setattr(rewriting, "ROW_GROUP", 1)
    tables.append([block(tmp_path, *((name, "mouse") for name in names)) for names in ("acegi", "fbdhj")])
    tables.finish(compact=True)
    new = block(tmp_path, *((name, "human") for name in "jha"), shard=1)
    tables.replace([new], [all_of(new)])
    (found,) = tables.documents.files()
    source = pq.ParquetFile(tmp_path / "documents" / found.path)
    groups = [source.read_row_group(number)["doc_id"].to_pylist() for number in range(source.num_row_groups)]
    assert groups == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"], ["i", "j"]]
    assert [row[:2] for row in rows(tmp_path, "entities")] == [
        (name, "human" if name in "jha" else "mouse") for name in "abcdefghij"
    ]


def test_new_documents_get_files_of_their_own(tables: Tables, tmp_path: Path):
    tables.append([block(tmp_path, ("a", "mouse"), ("c", "rat"))])
    new = block(tmp_path, ("a", "human"), ("b", "fly"), ("c", "worm"), shard=1)
    outcomes = all_of(new)
    outcomes[1] = Outcome.NEW
    assert tables.replace([new], [outcomes]) == 3
    for name in ("documents", "entities"):
        assert sorted(doc_ids(tmp_path, one, name) for one in tables.by_name[name].files()) == [["a", "c"], ["b"]]


def test_wide_bounds_lose_no_row(tmp_path: Path):
    """Delta lets writers shorten long strings in statistics, which moves a bound outwards."""
    (old,) = block(tmp_path, ("a", "mouse"), ("b", "rat")).documents
    (new,) = block(tmp_path, ("x", "human"), shard=1).documents
    wider = dataclasses.replace(old, last_id="z")
    (found,) = Replacement(location(tmp_path), wider, pa.array(["x"]), [new], ["x"]).run()
    assert doc_ids(tmp_path, found) == ["a", "b", "x"]


def test_many_new_files_are_sorted_first(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """They are then opened once, and not by each file that takes rows of them."""
    monkeypatch.setattr(rewriting, "FEW", 0)
    for names in ("abc", "def"):
        tables.append([block(tmp_path, *((name, "mouse") for name in names))])
    seen = []
    monkeypatch.setattr(tables, "_run", lambda found: seen.extend(found) or rewriting.run_locally(found))
    new = [block(tmp_path, *((name, "human") for name in names), shard=1) for names in ("ea", "fb")]
    tables.replace(new, [all_of(one) for one in new])
    assert {len(one.sources) for one in seen if isinstance(one, Replacement)} == {0, 1}
    assert [row[1] for row in rows(tmp_path, "entities")] == [
        "human" if name in "eafb" else "mouse" for name in "abcdef"
    ]


IDS = "abcdefghij"
CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "remove"]), st.sets(st.sampled_from(IDS), min_size=1)), min_size=1, max_size=6
)


@settings(max_examples=15)
@given(CHANGES, st.booleans())
def test_any_changes_leave_each_document_once(changes: list[tuple[str, set[str]]], merged: bool):
    held: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        output = Path(folder)
        tables = Tables(STORAGE, folder)
        for number, (change, names) in enumerate(changes):
            if change == "remove":
                assert tables.remove(pa.array(sorted(names))) == len(names & held.keys())
                held = {name: text for name, text in held.items() if name not in names}
                continue
            halves = [sorted(names)[::-2], sorted(names)[-2::-2]]
            new = [block(output, *((name, f"rat {number}") for name in half), shard=number) for half in halves if half]
            outcomes = [all_of(one) for one in new]
            for outcome, half in zip(outcomes, halves, strict=False):
                outcome[[name not in held for name in half]] = Outcome.NEW
            assert tables.replace(new, outcomes) == len(names)
            held |= dict.fromkeys(names, f"rat {number}")
            if merged:
                tables.compact()
        for name in ("documents", "entities"):
            assert [row[0] for row in rows(output, name)] == sorted(held)
            for one in tables.by_name[name].files():
                ids = doc_ids(output, one, name)
                assert (one.first_id, one.last_id, one.rows) == (min(ids), max(ids), len(ids))
        assert [row[1] for row in rows(output, "entities")] == [held[name] for name in sorted(held)]
