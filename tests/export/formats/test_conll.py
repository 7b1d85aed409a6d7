"""CoNLL."""

import re
from pathlib import Path

from hypothesis import given

from craft_ray.export.formats.record import Record
from craft_ray.model.tags import Mention
from craft_ray.training.corpora import GoldDocument, to_sentences
from craft_ray.training.iob import read_iob
from tests.support.exports import document, documents, exported
from tests.support.gold import marked


def test_conll_equals_a_training_corpus(tmp_path: Path):
    record = document(
        "PMID:1",
        [("text", "Pax6 binds TNF-α in mice. 𝛽-actin does not.\nMouse cells.")],
        [(0, 4, "Protein"), (11, 16, "Protein"), (20, 24, "Taxon"), (26, 33, "Protein"), (44, 49, "Taxon")],
    )
    content, (written, _) = exported("conll", record, record)
    (tmp_path / "part-00000.conll").write_bytes(content)
    mentions = tuple(Mention(e.start, e.end, e.label) for e in record.entities)
    sentences = to_sentences([GoldDocument("1", record.text, mentions)])
    assert len(sentences) == 3
    found = read_iob(tmp_path / "part-00000.conll")
    keys = [[(text.replace(" ", ""), label) for text, label in marked(one)] for one in 2 * sentences]
    assert [[(text.replace(" ", ""), label) for text, label in marked(one)] for one in found] == keys
    assert [one.text.replace(" ", "") for one in found] == [one.text.replace(" ", "") for one in 2 * sentences]
    assert written.entities == 5


@given(documents())
def test_conll_offsets_and_tags(record: Record):
    content, (written,) = exported("conll", record)
    rows = [line.split("\t") for line in content.decode().split("\n") if line]
    assert rows[0] == ["-DOCSTART-", "PMID:7", "-", "O"]
    for word, start, end, _ in rows[1:]:
        there = record.text[int(start) : int(end)]
        assert len(word) == len(there)
        assert all(one == other or one == "\N{REPLACEMENT CHARACTER}" for one, other in zip(word, there, strict=True))
    tagged = [(int(start), int(end), tag) for _, start, end, tag in rows[1:] if tag != "O"]
    words = [(int(start), int(end)) for _, start, end, _ in rows[1:]]
    for start, end, tag in tagged:
        assert any(e.start < end and start < e.end and tag[2:] == e.label for e in record.entities)
    for entity in record.entities:
        touched = {(start, end) for start, end in words if start < entity.end and entity.start < end}
        assert not touched or touched & {(start, end) for start, end, _ in tagged}
    assert sum(tag.startswith("B-") for _, _, tag in tagged) >= written.entities


def test_conll_writes_the_longest_of_overlapping_mentions():
    record = document("x", [("text", "wild type mice")], [(0, 9, "Sequence"), (0, 4, "Taxon"), (10, 14, "Taxon")])
    content, (written,) = exported("conll", record)
    assert re.findall(r"\t(\S+)\n", content.decode()) == ["O", "B-Sequence", "I-Sequence", "B-Taxon"]
    assert written.entities == 2
