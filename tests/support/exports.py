"""Documents with entities, and what an export writes of them."""

import io
import re
import tarfile
from dataclasses import replace

from hypothesis import strategies as st

from craft_ray.core.schema import Document, Entity, Section
from craft_ray.export.formats import format_named
from craft_ray.export.formats.record import Collection, Record, Written
from craft_ray.readers import read_shard

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


BREAKS = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}


RAT = Entity("Taxon", 10, 13, "rat", 0.9, "title", "NCBITaxon", 0, 13)
MOUSE = replace(RAT, start=0, end=5, mention="mouse", concept_id="NCBITaxon:10090", concept_name="Mus\tmusculus")
MOUSE = replace(MOUSE, concept_score=0.98, concept_match="synonym", gene_id="NCBIGene:18508")
GROUNDED = Record("PMID:1", "mouse and rat", (Section("title", 0, 13),), entities=(MOUSE, RAT))
