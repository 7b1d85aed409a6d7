"""JSON lines: one object per document with its text and entities. `readers.jsonl` reads it."""

import json
from dataclasses import asdict

from craft_ray.core.schema import Entity
from craft_ray.export.formats.record import Exporter, Format, Record, Written


class Jsonl(Exporter):
    def add(self, record: Record) -> Written:
        fields = {"id": record.doc_id, "title": record.title, "year": record.year, "journal": record.journal}
        line = {key: value for key, value in fields.items() if value is not None} | {
            "text": record.text,
            "sections": [asdict(section) for section in record.sections],
            "entities": [_entity(entity) for entity in record.entities],
        }
        return Written(f"{json.dumps(line, ensure_ascii=False)}\n".encode(), len(record.entities))


def _entity(entity: Entity) -> dict[str, object]:
    return {
        "start": entity.start,
        "end": entity.end,
        "label": entity.label,
        "mention": entity.mention,
        "score": entity.score,
        "ontology": entity.ontology,
        "concept_id": entity.concept_id,
        "concept_name": entity.concept_name,
        "concept_score": entity.concept_score,
        "concept_match": entity.concept_match,
        "gene_id": entity.gene_id,
    }


FORMAT = Format(Jsonl, ".jsonl")
