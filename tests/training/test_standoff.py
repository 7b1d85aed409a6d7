"""Gold corpora in standoff formats, as our own exports and as others write them."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.model.tags import Mention
from craft_ray.training.gold import read_documents, read_sentences
from craft_ray.training.standoff import read_standoff
from tests.support.exports import document, exported, unpacked
from tests.support.gold import gold, marked

RECORD = document(
    "PMID:1",
    [("title", "𝛽-actin and TNF-α"), ("abstract", "In mice <Pax6> & TNF-α bind.")],
    [(0, 7, "Protein"), (12, 17, "Protein"), (21, 25, "Taxon"), (35, 40, "Protein")],
)


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("pubtator", "corpus.pubtator"),
        ("pubtator", "corpus.PubTator.txt"),
        ("jsonl", "corpus.jsonl"),
        ("bioc-json", "corpus.json"),
        ("bioc-xml", "corpus.xml"),
        ("bioc-xml", "corpus.xml.gz"),
        ("brat", "part-00000"),
    ],
)
def test_exports_are_gold_corpora(tmp_path: Path, format, name):
    content, _ = exported(format, RECORD)
    if format == "brat":
        (tmp_path / name).mkdir()
        for file, part in unpacked(content).items():
            (tmp_path / file).write_bytes(part)
    else:
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    expected = [(entity.mention, entity.label) for entity in RECORD.entities]
    (found,) = read_standoff(tmp_path / name)
    assert [(found.text[m.start : m.end], m.label) for m in found.mentions] == expected
    assert [mention for sentence in read_sentences(tmp_path / name) for mention in marked(sentence)] == expected


def test_brat_with_discontinuous_mentions(tmp_path: Path):
    (tmp_path / "1.txt").write_text("avian or swine flu")
    (tmp_path / "1.ann").write_text(
        "T1\tVirus 9 18\tswine flu\nT2\tVirus 0 5;15 18\tavian flu\nR1\tIs Arg1:T1 Arg2:T2\n"
    )
    (document,) = read_standoff(tmp_path)
    assert document.mentions == (Mention(9, 18, "Virus"),)
    assert document.discontinuous == 1
    assert read_sentences(tmp_path) == [gold("avian or [swine flu|Virus]")]


def test_bioc_with_sentences_keeps_offsets(tmp_path: Path):
    (tmp_path / "corpus.xml").write_text(
        "<collection><document><id>1</id><passage><offset>0</offset>"
        "<sentence><offset>0</offset><text>Flu.</text></sentence>"
        "<sentence><offset>6</offset><text>Mumps.</text><annotation><infon key='type'>Virus</infon>"
        "<location offset='6' length='5'/><text>Mumps</text></annotation></sentence></passage></document></collection>"
    )
    (document,) = read_standoff(tmp_path / "corpus.xml")
    assert document.text == "Flu.  Mumps."
    assert document.mentions == (Mention(6, 11, "Virus"),)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pubtator", "1|t|Flu kills\n1\t0\t5\tFlu\tVirus", "'Flu k' at 0-5, and not 'Flu'"),
        ("a.pubtator", "1|t|Flu\n1\t0\t9\tFlu\tVirus", "outside its text"),
        ("a.pubtator", "1\t0\t3\tFlu\tVirus", "neither title nor abstract"),
        ("a.jsonl", '{"text": "Flu"}', r"the keys text; expected `text` with mentions as \[start, end, label\]"),
        ("a.jsonl", '{"text": "Flu", "entities": [{"from": 0}]}', "a mention is .*; expected `text`"),
        ("a.jsonl", '{"tokens": ["Flu"], "ner_tags": [1]}', "tags are numbers without names"),
        ("a.jsonl", '{"tokens": ["Flu", "kills"], "ner_tags": ["O"]}', "not every word of 'Flu kills' has a tag"),
        ("a.jsonl", '{"text": "Flu", "label": ["sick"]}', 'a mention is "sick"; expected `text`'),
        ("a.jsonl", '{"text": "Flu", "annotations": [{"label": 3, "start_offset": 0, "end_offset": 3}]}', '"label": 3'),
        ("a.xml", "<collection><document><passage/></document></collection>", "a passage of BioC has no offset"),
        (
            "a.xml",
            "<collection><document><passage><offset>0</offset><annotation><infon key='CUI'>C1</infon></annotation>"
            "</passage></document></collection>",
            "no infon `type`, only CUI",
        ),
        ("a.json", "{", "is no corpus that can be read"),
        ("a.json", "[1]", "a record is int; expected"),
        ("a.xml", "<collection>", "is no corpus that can be read"),
        ("a.xml", "<i2b2/>", "its root is i2b2, and not BioC's collection"),
        ("a.xml", "<collection/>", "has no documents"),
        ("a.parquet", "x", "is no corpus that can be read"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_standoff(tmp_path / name)


def test_a_few_wrong_offsets_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    lines = ["1|t|Flu kills", *["1\t0\t3\tFlu\tVirus"] * 30, "1\t0\t5\tFlu\tVirus"]
    (tmp_path / "a.pubtator").write_text("\n".join(lines))
    (document,) = read_standoff(tmp_path / "a.pubtator")
    assert (document.mentions, document.dropped) == ((Mention(0, 3, "Virus"),), 1)
    assert "1 mentions with wrong offsets are left out; 1 has 'Flu k' at 0-5, and not 'Flu'" in caplog.text


def test_ids_of_pubtator_are_curies(tmp_path: Path):
    (tmp_path / "a.pubtator").write_text(
        "1|t|Mice with flu, Pax6\n1\t0\t4\tMice\tSpecies\t10090\n1\t10\t13\tflu\tDisease\tD007251|C535702\n"
        "1\t15\t19\tPax6\tGene\t18508\n1\t15\t19\tPax6\tChemical\t-1\n"
    )
    (document,) = read_documents(tmp_path / "a.pubtator")
    assert [concept.concept_id for concept in document.concepts] == [
        "NCBITaxon:10090",
        "MESH:D007251|MESH:C535702",
        "NCBIGene:18508",
    ]


def test_folder_of_iob_files_is_not_standoff(tmp_path: Path):
    (tmp_path / "a.tsv").write_text("Flu\tB-Virus\n")
    assert read_standoff(tmp_path / "a.tsv") is None
    assert read_standoff(tmp_path) is None
    assert read_sentences(tmp_path) == [gold("[Flu|Virus]")]


def test_documents_have_canonical_labels(tmp_path: Path):
    (tmp_path / "corpus.pubtator").write_text("1|t|A mouse.\n1\t2\t7\tmouse\tTaxon\n1\t0\t1\tA\tGGP\n")
    (document,) = read_documents(tmp_path / "corpus.pubtator")
    assert document.mentions == (Mention(0, 1, "Protein"), Mention(2, 7, "Taxon"))
    assert read_sentences(tmp_path / "corpus.pubtator") == [gold("[A|Protein] [mouse|Taxon].")]


def test_sentences_of_iob_become_documents(tmp_path: Path):
    (tmp_path / "corpus.tsv").write_text("T\tB-Cell\ncells\tI-Cell\nlive\tO\n\nAlone\tO\n")
    tagged, plain = read_documents(tmp_path / "corpus.tsv")
    assert (tagged.text, tagged.mentions) == ("T cells live", (Mention(0, 7, "Cell"),))
    assert (plain.text, plain.mentions) == ("Alone", ())


FLU = {"text": "Bird flu kills hens"}
TRIPLES = [[0, 8, "Virus"], [15, 19, "Host"]]
SPANS_OF = [{"start": start, "end": end, "label": label} for start, end, label in TRIPLES]
OFFSETS = [{"id": 3, "start_offset": start, "end_offset": end, "label": label} for start, end, label in TRIPLES]
VALUES = [{"start": s, "end": e, "text": FLU["text"][s:e], "labels": [label]} for s, e, label in TRIPLES]
RESULT = [{"type": "labels", "value": value} for value in VALUES]
CHOICE = {"type": "choices", "value": {"choices": ["sick"]}}
WORDS = {"tokens": FLU["text"].split()}


@pytest.mark.parametrize(
    "records",
    [
        [FLU | {"id": 1, "label": TRIPLES}],  # doccano
        [FLU | {"labels": TRIPLES, "tokens": FLU["text"].split()}],
        [FLU | {"entities": OFFSETS, "relations": []}],
        [FLU | {"spans": SPANS_OF, "tokens": [{"text": "Bird", "id": 0}]}, FLU | {"spans": [], "answer": "reject"}],
        [[FLU["text"], {"entities": TRIPLES}]],  # spaCy
        [FLU | {"denotations": [{"span": {"begin": s, "end": e}, "obj": label} for s, e, label in TRIPLES]}],
        [
            {"data": FLU, "annotations": [{"result": [*RESULT, {"type": "relation"}, CHOICE]}], "predictions": []},
            {"data": FLU, "annotations": [{"result": [], "was_cancelled": True}]},
            {"data": FLU, "annotations": [], "predictions": [{"result": RESULT}]},
        ],  # Label Studio
        [FLU | {"label": VALUES}],
        [WORDS | {"ner_tags": ["B-Virus", "I-Virus", "O", "B-Host"]}],
        [WORDS | {"tags": ["B-Virus", "E-Virus", "O", "S-Host"]}],
    ],
)
def test_files_of_annotation_tools(tmp_path: Path, records):
    """As an array and by line, whatever the suffix."""
    (tmp_path / "a.json").write_text(json.dumps(records, indent=1))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    (tmp_path / "a.txt").write_text(json.dumps(records))
    for name in ("a.json", "a.jsonl", "a.txt"):
        assert read_sentences(tmp_path / name) == [gold("[Bird flu|Virus] kills [hens|Host]")], name


def test_parquet_of_hugging_face(tmp_path: Path):
    """Tags are numbers, whose names are in the schema."""
    feature = {"feature": {"names": ["O", "B-Virus", "I-Virus", "B-Host"], "_type": "ClassLabel"}, "_type": "Sequence"}
    table = pa.table({"tokens": [["Bird", "flu", "kills", "hens"]], "ner_tags": [[1, 2, 0, 3]]})
    features = {"info": {"features": {"tokens": {"feature": {"dtype": "string"}}, "ner_tags": feature}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "a.parquet")
    assert read_sentences(tmp_path / "a.parquet") == [gold("[Bird flu|Virus] kills [hens|Host]")]


def test_prose_is_no_corpus(tmp_path: Path):
    (tmp_path / "a.txt").write_text("Bird flu kills hens\n")
    with pytest.raises(SettingsError, match=r"hardly a word has the tag O.*; a corpus is IOB"):
        read_sentences(tmp_path / "a.txt")


def test_columns_of_something_else_are_no_corpus(tmp_path: Path):
    rows = [f"1\tT{n}\tCHEMICAL\t{n}\t{n + 3}\tNaCl" for n in range(20)]
    (tmp_path / "entities.tsv").write_text("\n".join([*rows, "1\tT20\tCHEMICAL\t90\t96\tI-KBr"]))
    with pytest.raises(SettingsError, match="hardly a word has the tag O"):
        read_sentences(tmp_path / "entities.tsv")
