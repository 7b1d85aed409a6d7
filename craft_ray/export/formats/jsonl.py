"""JSON lines: one object per document with its text and entities. `readers.jsonl` reads it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from craft_ray.export.formats.record import Exporter, Format, Record, Written


class Jsonl(Exporter):
    def add(self, record: Record) -> Written:
        fields = {"id": record.doc_id, "title": record.title, "year": record.year, "journal": record.journal}
        line = {key: value for key, value in fields.items() if value is not None} | {
            "text": record.text,
            "sections": [asdict(section) for section in record.sections],
            "entities": [{name: getattr(entity, name) for name in _ENTITY} for entity in record.entities],
        }
        return Written(f"{json.dumps(line, ensure_ascii=False)}\n".encode(), len(record.entities))


_SECTION = {"name": "string", "start": "int32", "end": "int32"}
_ENTITY = {
    **{"start": "int32", "end": "int32", "label": "string", "mention": "string", "score": "float64"},
    **{"ontology": "string", "concept_id": "string", "concept_name": "string", "concept_score": "float64"},
    **{"concept_match": "string", "gene_id": "string"},
}


def dataset_card(labels: Sequence[str]) -> str:
    """A dataset card, with which Hugging Face's `load_dataset` opens the folder and takes `label` for a class.

    Its values are JSON, which is YAML.
    """
    of_label = {"class_label": {"names": {str(number): name for number, name in enumerate(labels)}}}
    entity = _columns(_ENTITY | ({"label": of_label} if labels else {}))
    features = [
        *_columns({"id": "string", "title": "string", "year": "int32", "journal": "string", "text": "string"}),
        {"name": "sections", "list": _columns(_SECTION)},
        {"name": "entities", "list": entity},
    ]
    head = {
        "configs": [{"config_name": "default", "data_files": "part-*.jsonl*"}],
        "dataset_info": {"features": features},
        "task_categories": ["token-classification"],
        "tags": ["biomedical", "named-entity-recognition", "craft-ray"],
    }
    values = "\n".join(f"{name}: {json.dumps(value)}" for name, value in head.items())
    return f"---\n{values}\n---\n{_CARD}"


def _columns(types: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "dtype": kind} for name, kind in types.items()]


_CARD = """
Documents with the biomedical entities that craft-ray found in them: mentions with labels, scores and ids of concepts.
`start` and `end` count Unicode code points of `text`. These are predictions, not gold annotations.
"""

FORMAT = Format(Jsonl, ".jsonl", card=dataset_card)
