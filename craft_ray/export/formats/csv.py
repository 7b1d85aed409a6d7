"""CSV (RFC 4180) in UTF-8 with a header, one row per entity. Documents without entities have no row.

Values are not escaped for spreadsheets, which take a mention that begins with =, +, - or @ for a formula.
"""

import csv
import io

from craft_ray.export.formats.record import Exporter, Format, Record, Written

COLUMNS = (
    "doc_id",
    "section",
    "start",
    "end",
    "label",
    "mention",
    "score",
    "ontology",
    "sentence_start",
    "sentence_end",
    "concept_id",
    "concept_name",
    "concept_score",
    "concept_match",
)


class Csv(Exporter):
    def begin(self) -> bytes:
        return f"{','.join(COLUMNS)}\r\n".encode()

    def add(self, record: Record) -> Written:
        lines = io.StringIO(newline="")
        csv.writer(lines).writerows(
            [record.doc_id, *(getattr(entity, name) for name in COLUMNS[1:])] for entity in record.entities
        )
        return Written(lines.getvalue().encode(), len(record.entities))


FORMAT = Format(Csv, ".csv", needs_text=False)
