"""BioC XML (https://bioc.sourceforge.net): one collection per part, one passage per section.

The infon `type` of a passage is the section's name. Offsets count code points of the document's text, as
`craft_ray.readers.bioc` reads them. Characters that XML 1.0 excludes (most control characters) become U+FFFD.
"""

import re

from lxml import etree

from craft_ray.core.schema import Entity
from craft_ray.export.formats.record import Collection, Exporter, Format, Record, Written, by_passage, passages

_NOT_XML = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ufffe\\uffff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class BiocXml(Exporter):
    def begin(self) -> bytes:
        head = etree.Element("collection")
        for name, value in (("source", self.collection.source), ("date", self.collection.date), ("key", "craft_ray")):
            _text(head, name, value)
        for key, value in collection_infons(self.collection).items():
            _infon(head, key, value)
        opened = etree.tostring(head, encoding="unicode").removesuffix("</collection>")
        declared = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE collection SYSTEM "BioC.dtd">\n'
        return f"{declared}{opened}\n".encode()

    def add(self, record: Record) -> Written:
        element = etree.Element("document")
        _text(element, "id", record.doc_id)
        for key, value in document_infons(record).items():
            _infon(element, key, value)
        text, parts, number = record.text or "", passages(record), 0
        for part, entities in zip(parts, by_passage(record, parts), strict=True):
            passage = etree.SubElement(element, "passage")
            _infon(passage, "type", part.name)
            _text(passage, "offset", str(part.start))
            _text(passage, "text", text[part.start : part.end])
            for entity in entities:
                number += 1
                _annotation(passage, number, entity)
        content = etree.tostring(element, encoding="UTF-8", xml_declaration=False) + b"\n"
        return Written(content, number, _NOT_XML.search(text) is not None)

    def end(self) -> bytes:
        return b"</collection>\n"


def collection_infons(collection: Collection) -> dict[str, str]:
    return {"shard": collection.name, "offsets": "Unicode code points of the document"}


def document_infons(record: Record) -> dict[str, str]:
    """Year, journal, and the title if no passage is the title."""
    title = None if any(section.name == "title" for section in record.sections) else record.title
    fields = {"title": title, "year": record.year, "journal": record.journal}
    return {key: str(value) for key, value in fields.items() if value not in (None, "")}


def annotation_infons(entity: Entity) -> dict[str, str]:
    fields: dict[str, object] = {"type": entity.label, "score": entity.score, "ontology": entity.ontology}
    fields |= {"identifier": entity.concept_id, "concept_name": entity.concept_name}
    fields |= {"concept_score": entity.concept_score, "concept_match": entity.concept_match}
    fields |= {"gene_id": entity.gene_id}
    return {key: str(value) for key, value in fields.items() if value is not None}


def _annotation(passage: etree._Element, number: int, entity: Entity) -> None:
    annotation = etree.SubElement(passage, "annotation", id=f"T{number}")
    for key, value in annotation_infons(entity).items():
        _infon(annotation, key, value)
    etree.SubElement(annotation, "location", offset=str(entity.start), length=str(entity.end - entity.start))
    _text(annotation, "text", entity.mention)


def _infon(parent: etree._Element, key: str, value: str) -> None:
    etree.SubElement(parent, "infon", key=key).text = _valid(value)


def _text(parent: etree._Element, name: str, value: str) -> None:
    etree.SubElement(parent, name).text = _valid(value)


def _valid(value: str) -> str:
    return _NOT_XML.sub(_REPLACEMENT, value)


FORMAT = Format(BiocXml, ".xml")
