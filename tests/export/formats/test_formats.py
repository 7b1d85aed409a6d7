import csv
import gzip
import io
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Document, Entity, Section
from craft_ray.export.formats import EXPORTERS, format_named
from craft_ray.export.formats.brat import file_name
from craft_ray.export.formats.record import Collection, Record, Unrepresentable, Written
from craft_ray.model.tags import Mention
from craft_ray.readers import read_shard
from craft_ray.training.corpora import GoldDocument, to_sentences
from craft_ray.training.iob import read_iob
from tests.support.gold import marked

NO_XML = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ufffe\\uffff]")
COLLECTION = Collection("part-00000", "craft-ray test", "2026-11-25", ("Protein", "Taxon"))


def exported(format: str, *annotated_documents: Record) -> tuple[bytes, list[Written]]:
    """The bytes of a part, and the result of each document."""
    exporter = format_named(format).make(COLLECTION)
    head = exporter.begin()
    written = [exporter.add(record) for record in annotated_documents]
    return head + b"".join(w.content for w in written) + exporter.end(), written


def read(content: bytes, name: str) -> list[Document]:
    found = list(read_shard(io.BytesIO(content), name))
    assert all(isinstance(item, Document) for item in found), found
    return found


def document(doc_id: str, passages: list[tuple[str, str]], spans: list[tuple[int, int, str]]) -> Record:
    """A document with one passage per line, and entities at spans of its text."""
    text, sections = "", []
    for name, passage in passages:
        start = len(text) + 1 if text else 0
        text = f"{text}\n{passage}" if text else passage
        sections.append(Section(name, start, len(text)))

    def entity(start: int, end: int, label: str) -> Entity:
        section = next(s for s in sections if s.start <= start < s.end)
        mention = text[start:end]
        return Entity(label, start, end, mention, 0.9, section.name, "PR", section.start, section.end)

    entities = tuple(entity(*span) for span in sorted(spans))
    return Record(doc_id, text, tuple(sections), passages[0][1], 2026, "A journal", entities)


ASTRAL = document(
    "PMID:1",
    [("title", "TNF-α and 𝛽-actin"), ("abstract", "In mice 𝒳 <Pax6> & TNF-α\u2028naïve,\r\nmouse \x07bell.\tEnd")],
    [(0, 5, "Protein"), (10, 17, "Protein"), (29, 33, "Protein"), (37, 48, "Protein"), (50, 55, "Taxon")],
)


@st.composite
def documents(draw: st.DrawFn) -> Record:
    """Any passages, with spans that do not overlap and neither begin nor end with a blank."""
    anything = st.characters(exclude_categories=("Cs",))
    odd = st.sampled_from("α𝛽\r\n\t\x00\x1c\x85\u2028\ufeff\ufffe |,\";'<&]=-.")
    passage = st.text(st.one_of(anything, odd), min_size=1, max_size=40).filter(lambda text: not text.isspace())
    passages = [
        ("title" if number == 0 else f"part{number}", draw(passage)) for number in range(draw(st.integers(1, 3)))
    ]
    base = document("PMID:7", passages, [])
    spans, at = [], 0
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(at, len(base.text)))
        end = draw(st.integers(start, len(base.text)))
        inside = any(s.start <= start < end <= s.end for s in base.sections)
        if inside and not base.text[start].isspace() and not base.text[end - 1].isspace():
            spans.append((start, end, draw(st.sampled_from(["Protein", "Taxon"]))))
            at = end
    return document("PMID:7", passages, spans)


def spans(record: Record) -> list[tuple[int, int, str]]:
    return [(entity.start, entity.end, entity.label) for entity in record.entities]


@given(documents())
def test_bioc_xml(record: Record):
    from bioc import biocxml

    content, (written,) = exported("bioc-xml", record)
    text = NO_XML.sub("\N{REPLACEMENT CHARACTER}", record.text)
    assert (written.entities, written.altered) == (len(record.entities), text != record.text)
    (found,) = read(content, "part-00000.xml")
    assert (found.doc_id, found.text, found.year, found.journal) == ("PMID:7", text, 2026, "A journal")
    assert found.sections == record.sections
    (oracle,) = biocxml.loads(content.decode()).documents
    assert_bioc(oracle, record, text)


@given(documents())
def test_bioc_json(record: Record):
    from bioc import biocjson

    content, (written,) = exported("bioc-json", record)
    assert (written.entities, written.altered) == (len(record.entities), False)
    (found,) = read(content, "part-00000.json")
    assert (found.doc_id, found.text, found.sections) == ("PMID:7", record.text, record.sections)
    (oracle,) = biocjson.loads(content.decode()).documents
    assert_bioc(oracle, record, record.text)


def assert_bioc(oracle, record: Record, text: str) -> None:
    for passage, section in zip(oracle.passages, record.sections, strict=True):
        assert (passage.infons["type"], passage.offset) == (section.name, section.start)
        assert passage.text == text[section.start : section.end]
    annotations = [annotation for passage in oracle.passages for annotation in passage.annotations]
    found = [(a.total_span.offset, a.total_span.end, a.infons["type"], a.text) for a in annotations]
    assert found == [(start, end, label, text[start:end]) for start, end, label in spans(record)]
    assert all((a.infons["score"], a.infons["ontology"]) == ("0.9", "PR") for a in annotations)


@given(documents(), documents())
def test_jsonl(first: Record, second: Record):
    content, _ = exported("jsonl", first, second)
    for record, found in zip((first, second), read(content, "part-00000.jsonl"), strict=True):
        assert (found.doc_id, found.text, found.title, found.year) == (
            record.doc_id,
            record.text,
            record.title,
            record.year,
        )
        assert found.journal == record.journal
        assert [Section(**section) for section in found.metadata["sections"]] == list(record.sections)
        assert [(e["start"], e["end"], e["label"]) for e in found.metadata["entities"]] == spans(record)
        assert all(found.text[e["start"] : e["end"]] == e["mention"] for e in found.metadata["entities"])


BREAKS = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


@given(documents())
def test_pubtator(record: Record):
    content, (written,) = exported("pubtator", record)
    title_end = record.sections[0].end
    text = BREAKS.sub(" ", record.text[:title_end]) + record.text[title_end : title_end + 1]
    text += BREAKS.sub(" ", record.text[title_end + 1 :])
    assert (written.entities, written.altered) == (len(record.entities), text != record.text)
    (found,) = read(content, "part-00000.pubtator")
    assert (found.doc_id, found.text) == ("PMID:7", text)
    lines = [line.split("\t") for line in content.decode().split("\n") if re.match(r"7\t\d+\t\d+\t", line)]
    assert [(int(line[1]), int(line[2]), line[4]) for line in lines] == spans(record)
    assert all(line[3] == BREAKS.sub(" ", text[int(line[1]) : int(line[2])].replace("\t", " ")) for line in lines)


def test_bioc_library_reads_pubtator():
    from bioc import pubtator

    content, _ = exported("pubtator", ASTRAL, replace(ASTRAL, doc_id="PMCID:PMC2"))
    first, second = pubtator.loads(content.decode())
    assert (first.pmid, first.title, second.pmid) == ("1", "TNF-α and 𝛽-actin", "PMCID:PMC2")
    assert first.abstract == "In mice 𝒳 <Pax6> & TNF-α naïve,  mouse \x07bell.\tEnd"
    whole = f"{first.title}\n{first.abstract}"
    assert [(a.start, a.end, a.type) for a in first.annotations] == spans(ASTRAL)
    assert all(whole[a.start : a.end] == a.text for a in first.annotations)


def test_pubtator_without_a_title():
    record = replace(document("x", [("text", "One line\nand more")], [(9, 12, "Taxon")]), title=None)
    assert exported("pubtator", record)[0] == b"x|t|One line\nx|a|and more\nx\t9\t12\tand\tTaxon\t-\n\n"
    alone = document("x", [("text", "One line")], [(0, 3, "Taxon")])
    assert exported("pubtator", alone)[0] == b"x|t|One line\nx|a|\nx\t0\t3\tOne\tTaxon\t-\n\n"


@pytest.mark.parametrize("doc_id", ["a|b", "a\tb", "a\u2028b"])
def test_pubtator_ids_with_separators(doc_id: str):
    with pytest.raises(Unrepresentable, match="its id holds"):
        exported("pubtator", replace(ASTRAL, doc_id=doc_id))


def unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}


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


@given(documents(), documents())
def test_csv(first: Record, second: Record):
    content, _ = exported("csv", first, second)
    assert content.endswith(b"\r\n")
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    entities = [*first.entities, *second.entities]
    assert [
        (row["doc_id"], int(row["start"]), int(row["end"]), row["label"], row["mention"], float(row["score"]))
        for row in rows
    ] == [("PMID:7", e.start, e.end, e.label, e.mention, 0.9) for e in entities]


@pytest.mark.parametrize("format", list(EXPORTERS))
def test_unicode(format: str):
    content, _ = exported(format, ASTRAL)
    assert "α".encode() in content
    assert "𝛽".encode() in content


@pytest.mark.parametrize("format", list(EXPORTERS))
def test_part_without_documents(format: str):
    content, _ = exported(format)
    if format == "bioc-xml":
        with pytest.raises(ShardError, match="no_documents"):
            read(content, "x.xml")
    elif format == "bioc-json":
        assert json.loads(content)["documents"] == []
    elif format == "brat":
        assert sorted(unpacked(content)) == ["part-00000/annotation.conf", "part-00000/documents.tsv"]
    else:
        assert content.count(b"\n") == (format == "csv")


@pytest.fixture(scope="module")
def articles(data: Path) -> list[Record]:
    """Real articles in which each word with a Greek letter or a digit is an entity."""
    annotated_documents = []
    for path in [*sorted((data / "jats").glob("*.nxml")), *sorted((data / "craft" / "jats").glob("*.nxml"))[:8]]:
        (found,) = read(path.read_bytes(), path.name)
        entities = tuple(
            Entity("Protein", *match.span(), match.group(), 0.75, section.name, "PR", section.start, section.end)
            for section in found.sections
            for match in re.compile(r"\w*[α-ω0-9]\w*").finditer(found.text, section.start, section.end)
        )
        annotated_documents.append(
            Record(found.doc_id, found.text, found.sections, found.title, found.year, found.journal, entities)
        )
    assert sum(len(record.entities) for record in annotated_documents) > 1000
    assert any("α" in record.text for record in annotated_documents)
    return annotated_documents


@pytest.mark.parametrize("format", ["bioc-xml", "bioc-json", "jsonl"])
def test_articles_keep_text_and_sections(articles: list[Record], format: str):
    content, written = exported(format, *articles)
    assert not any(w.altered for w in written)
    for record, found in zip(articles, read(content, f"part-00000{format_named(format).suffix}"), strict=True):
        assert (found.doc_id, found.text, found.year) == (record.doc_id, record.text, record.year)
        if format != "jsonl":
            names = [(section.name.lower(), section.start, section.end) for section in record.sections]
            assert [(section.name, section.start, section.end) for section in found.sections] == names


def test_articles_read_by_the_bioc_library(articles: list[Record]):
    from bioc import biocjson, biocxml

    for format, reader in (("bioc-xml", biocxml), ("bioc-json", biocjson)):
        oracle = reader.loads(exported(format, *articles)[0].decode())
        for record, found in zip(articles, oracle.documents, strict=True):
            annotations = [a for passage in found.passages for a in passage.annotations]
            assert [(a.total_span.offset, a.total_span.end, a.text) for a in annotations] == [
                (entity.start, entity.end, entity.mention) for entity in record.entities
            ]


def test_articles_as_pubtator_brat_and_conll(articles: list[Record], tmp_path: Path):
    pubtator = read(exported("pubtator", *articles)[0], "part-00000.pubtator")
    brat = unpacked(exported("brat", *articles)[0])
    content, written = exported("conll", *articles)
    for record, found in zip(articles, pubtator, strict=True):
        first = record.sections[0].end
        assert found.text == record.text[: first + 1] + BREAKS.sub(" ", record.text[first + 1 :])
        assert brat[f"part-00000/{file_name(record.doc_id)}.txt"] == record.text.encode()
        lines = brat[f"part-00000/{file_name(record.doc_id)}.ann"].decode().split("\n")
        places = [line.split("\t")[1].split()[1:] for line in lines if line.startswith("T")]
        assert [(int(start), int(end)) for start, end in places] == [(e.start, e.end) for e in record.entities]
    (tmp_path / "articles.conll.gz").write_bytes(gzip.compress(content))
    sentences = read_iob(tmp_path / "articles.conll.gz")
    labels = [mention.label for sentence in sentences for mention in sentence.mentions]
    assert labels.count("Protein") >= sum(w.entities for w in written) > 1000


RAT = Entity("Taxon", 10, 13, "rat", 0.9, "title", "NCBITaxon", 0, 13)
MOUSE = replace(RAT, start=0, end=5, mention="mouse", concept_id="NCBITaxon:10090", concept_name="Mus\tmusculus")
MOUSE = replace(MOUSE, concept_score=0.98, concept_match="synonym")
GROUNDED = Record("PMID:1", "mouse and rat", (Section("title", 0, 13),), entities=(MOUSE, RAT))


@pytest.mark.parametrize("format", ["bioc-xml", "bioc-json"])
def test_concepts_in_bioc(format: str):
    from bioc import biocjson, biocxml

    content = exported(format, GROUNDED)[0].decode()
    (document,) = (biocxml if format == "bioc-xml" else biocjson).loads(content).documents
    mouse, rat = document.passages[0].annotations
    assert (mouse.infons["identifier"], mouse.infons["concept_score"]) == ("NCBITaxon:10090", "0.98")
    assert "identifier" not in rat.infons


def test_concepts_in_line_formats():
    lines = [line.split("\t") for line in exported("pubtator", GROUNDED)[0].decode().splitlines() if "\t" in line]
    assert [line[5] for line in lines] == ["NCBITaxon:10090", "-"]
    lines = unpacked(exported("brat", GROUNDED)[0])["part-00000/PMID_1.ann"].decode().splitlines()
    assert [line for line in lines if line.startswith("N")] == ["N1\tReference T1 NCBITaxon:10090\tMus musculus"]
    mouse, rat = csv.DictReader(io.StringIO(exported("csv", GROUNDED)[0].decode(), newline=""))
    assert (mouse["concept_id"], mouse["concept_match"], rat["concept_id"]) == ("NCBITaxon:10090", "synonym", "")
    mouse, rat = json.loads(exported("jsonl", GROUNDED)[0])["entities"]
    assert (mouse["concept_id"], mouse["concept_score"], rat["concept_id"]) == ("NCBITaxon:10090", 0.98, None)


FORMULAS = ["=1+1", "+a", "-a", "@a", "\ta", "\ra"]


def test_excel_safe_csv_has_no_formulas():
    text = "\x0b".join([*FORMULAS, "Pax6-/-"])
    spans = [(text.index(mention), text.index(mention) + len(mention), "Protein") for mention in [*FORMULAS, "Pax6-/-"]]
    found = {}
    for safe in (False, True):
        exporter = format_named("csv").make(replace(COLLECTION, excel_safe=safe))
        content = exporter.begin() + exporter.add(document("=id", [("@text", text)], spans)).content
        found[safe] = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["mention"] for row in found[False]] == [*FORMULAS, "Pax6-/-"]
    assert [row["mention"] for row in found[True]] == [*(f"'{mention}" for mention in FORMULAS), "Pax6-/-"]
    assert {(row["doc_id"], row["section"], row["score"]) for row in found[True]} == {("'=id", "'@text", "0.9")}
