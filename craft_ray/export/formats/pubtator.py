"""PubTator (https://www.ncbi.nlm.nih.gov/research/pubtator3/): title, abstract and entities, then a blank line.

The title is the section `title` if the text begins with it, else the first line. The abstract is the rest of the text,
with all sections. So offsets are the same as in the tables: code points of title, line break and abstract. Line breaks
within the two become spaces. `PMID:123` is written `123`. The sixth column is the concept id. Scores are not written.
"""

from craft_ray.core.schema import Entity
from craft_ray.export.formats.record import (
    LINE_BREAKS,
    TABS_AND_BREAKS,
    Exporter,
    Format,
    Record,
    Unrepresentable,
    Written,
    plain_label,
)


class PubTator(Exporter):
    def add(self, record: Record) -> Written:
        name = record.doc_id
        if name.startswith("PMID:") and name[5:].isdecimal():
            name = name[5:]
        if "|" in name or TABS_AND_BREAKS.search(name):
            raise Unrepresentable("its id holds |, a tab or a line break")
        text = record.text or ""
        end = _title_end(record, text)
        title, abstract = LINE_BREAKS.sub(" ", text[:end]), LINE_BREAKS.sub(" ", text[end + 1 :])
        lines = [
            f"{name}|t|{title}",
            f"{name}|a|{abstract}",
            *(_line(name, entity) for entity in record.entities),
            "",
            "",
        ]
        altered = title != text[:end] or abstract != text[end + 1 :]
        return Written("\n".join(lines).encode(), len(record.entities), altered)


def _title_end(record: Record, text: str) -> int:
    """End of the title, which is at a line break or at the end of the text."""
    first = record.sections[0] if record.sections else None
    if (
        first is not None
        and first.name == "title"
        and first.start == 0
        and text[first.end : first.end + 1] in ("", "\n")
    ):
        return first.end
    line_end = text.find("\n")
    return len(text) if line_end < 0 else line_end


def _line(name: str, entity: Entity) -> str:
    mention = TABS_AND_BREAKS.sub(" ", entity.mention)
    return f"{name}\t{entity.start}\t{entity.end}\t{mention}\t{plain_label(entity.label)}\t{entity.concept_id or '-'}"


FORMAT = Format(PubTator, ".pubtator")
