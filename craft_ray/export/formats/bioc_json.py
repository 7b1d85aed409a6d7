"""BioC JSON: one collection per part, one document per line. Fields and offsets as in BioC XML."""

import json
from typing import Any

from craft_ray.core.schema import Entity
from craft_ray.export.formats.bioc_xml import annotation_infons, collection_infons, document_infons
from craft_ray.export.formats.record import Collection, Exporter, Format, Record, Written, by_passage, passages


class BiocJson(Exporter):
    def __init__(self, collection: Collection) -> None:
        super().__init__(collection)
        self._first = True

    def begin(self) -> bytes:
        head = {
            "source": self.collection.source,
            "date": self.collection.date,
            "key": "craft_ray",
            "version": "1.0",
            "infons": collection_infons(self.collection),
        }
        return f'{_json(head)[:-1]}, "documents": [\n'.encode()

    def add(self, record: Record) -> Written:
        text, parts, number = record.text or "", passages(record), 0
        written: list[dict[str, Any]] = []
        for part, entities in zip(parts, by_passage(record, parts), strict=True):
            written.append(
                {
                    "offset": part.start,
                    "infons": {"type": part.name},
                    "text": text[part.start : part.end],
                    "sentences": [],
                    "annotations": [_annotation(number + i, entity) for i, entity in enumerate(entities, start=1)],
                    "relations": [],
                }
            )
            number += len(entities)
        document = {
            "id": record.doc_id,
            "infons": document_infons(record),
            "passages": written,
            "annotations": [],
            "relations": [],
        }
        lead, self._first = ("" if self._first else ",\n"), False
        return Written(f"{lead}{_json(document)}".encode(), number)

    def end(self) -> bytes:
        return b"\n]}\n"


def _annotation(number: int, entity: Entity) -> dict[str, Any]:
    return {
        "id": f"T{number}",
        "infons": annotation_infons(entity),
        "text": entity.mention,
        "locations": [{"offset": entity.start, "length": entity.end - entity.start}],
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


FORMAT = Format(BiocJson, ".json")
