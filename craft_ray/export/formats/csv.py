"""CSV as RFC 4180 has it, in UTF-8: a header, then an entity a row. Documents without entities have no row.

Values are as they are in the tables. A mention that begins with =, +, - or @ is a formula to a spreadsheet: import its
column as text.
"""

import csv
import io

from craft_ray.export.formats.record import Collection, Format, Record, Written

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


class Csv:
    """An entity a row."""

    def __init__(self, collection: Collection) -> None:
        pass

    def begin(self) -> bytes:
        """The header."""
        return f"{','.join(COLUMNS)}\r\n".encode()

    def add(self, record: Record) -> Written:
        """The rows of one document."""
        lines = io.StringIO(newline="")
        csv.writer(lines).writerows(
            [record.doc_id, *(getattr(entity, name) for name in COLUMNS[1:])] for entity in record.entities
        )
        return Written(lines.getvalue().encode(), len(record.entities))

    def end(self) -> bytes:
        """Nothing."""
        return b""


FORMAT = Format(Csv, ".csv", needs_text=False)
