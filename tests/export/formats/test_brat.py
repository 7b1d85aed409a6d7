"""brat."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from craft_ray.export.formats.brat import file_name
from craft_ray.export.formats.record import Record
from tests.support.exports import ASTRAL, documents, exported, unpacked


@given(documents())
def test_brat(record: Record):
    from bioc import brat

    content, _ = exported("brat", record)
    files = unpacked(content)
    assert files["part-00000/PMID_7.txt"] == record.text.encode()
    oracle = brat.loads_ann(files["part-00000/PMID_7.ann"].decode())
    for found, entity in zip(oracle.entities, record.entities, strict=True):
        fragments = sorted((fragment.begin, fragment.end) for fragment in found.locations)
        assert (found.type, fragments[0][0], fragments[-1][1]) == (entity.label, entity.start, entity.end)
        assert found.text == " ".join(record.text[start:end] for start, end in fragments)


def test_brat_folder():
    files = unpacked(exported("brat", ASTRAL, replace(ASTRAL, doc_id="s3://b/a.jsonl#3"))[0])
    assert files["part-00000/annotation.conf"].decode().splitlines()[:3] == ["[entities]", "Protein", "Taxon"]
    names = [line.split("\t") for line in files["part-00000/documents.tsv"].decode().splitlines()[1:]]
    assert [doc_id for _, doc_id in names] == ["PMID:1", "s3://b/a.jsonl#3"]
    for name, _ in names:
        assert files[f"part-00000/{name}.txt"] == ASTRAL.text.encode()
        assert files[f"part-00000/{name}.ann"].decode().splitlines()[:2] == [
            "T1\tProtein 0 5\tTNF-α",
            "#1\tAnnotatorNotes T1\tscore 0.9",
        ]
    tabs = exported(
        "brat",
        replace(
            ASTRAL, text="\t\t", sections=(), entities=(replace(ASTRAL.entities[0], start=0, end=2, mention="\t\t"),)
        ),
    )
    assert unpacked(tabs[0])["part-00000/PMID_1.ann"].decode().splitlines()[0] == "T1\tProtein 0 2\t  "
    over_two_lines = "T4\tProtein 37 42;43 48\tTNF-α naïve"
    assert over_two_lines in files["part-00000/PMID_1.ann"].decode().split("\n")


ids = st.one_of(st.text(min_size=1, max_size=12), st.from_regex(r"[A-Z]{0,3}[:_#/]{0,2}[a-z0-9.]{1,3}", fullmatch=True))


@given(st.sets(ids, min_size=2, max_size=6))
def test_brat_file_names_are_unique_and_safe(names: set[str]):
    found = {file_name(name) for name in names}
    assert len(found) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,150}", name) for name in found)
