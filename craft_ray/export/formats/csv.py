"""CSV (RFC 4180) in UTF-8 with a header, one row per entity. Documents without entities have no row.

A spreadsheet takes a mention that begins with =, +, - or @ for a formula, unless values are made safe for Excel.
"""

import csv
import io

from craft_ray.core.text import without_formula
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
    "gene_id",
)


class Csv(Exporter):
    def begin(self) -> bytes:
        return f"{','.join(COLUMNS)}\r\n".encode()

    def add(self, record: Record) -> Written:
        lines = io.StringIO(newline="")
        rows = ([record.doc_id, *(getattr(entity, name) for name in COLUMNS[1:])] for entity in record.entities)
        if self.collection.excel_safe:
            rows = ([without_formula(value) if isinstance(value, str) else value for value in row] for row in rows)
        csv.writer(lines).writerows(rows)
        return Written(lines.getvalue().encode(), len(record.entities))


FORMAT = Format(Csv, ".csv", needs_text=False)
