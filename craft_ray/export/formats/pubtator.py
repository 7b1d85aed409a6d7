"""PubTator (https://www.ncbi.nlm.nih.gov/research/pubtator3/): title, abstract and entities, then a blank line.

The title is the section `title` that begins the text, else the first line; the abstract is all the rest, sections and
all. So offsets are those of the tables: code points of title, one line break, abstract. Line breaks within the two
become blanks, one each. `PMID:123` is written `123`. The sixth column is the concept's id. Scores are not written.
"""

from craft_ray.core.schema import Entity
from craft_ray.export.formats.record import (
    LINE_BREAKS,
    TABS_AND_BREAKS,
    Collection,
    Format,
    Record,
    Unrepresentable,
    Written,
    plain_label,
)


class PubTator:
    """Documents with their entities, in lines."""

    def __init__(self, collection: Collection) -> None:
        pass

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def add(self, record: Record) -> Written:
        """The lines of one document."""
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

    def end(self) -> bytes:
        """Nothing."""
        return b""


def _title_end(record: Record, text: str) -> int:
    """Where the title ends: at a line break, or at the text's end."""
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
