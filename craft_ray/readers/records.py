"""Documents from records with named columns: JSON objects, rows of CSV or Parquet.

Columns `title` and `year` fill the document's own. Those that are neither id nor text go to its metadata.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from craft_ray.core.schema import Document, Rejection
from craft_ray.readers.reader import ReadOptions
from craft_ray.readers.text_builder import TextBuilder

ID_COLUMNS = ("id", "_id", "doc_id", "docid", "document_id", "pmid", "pmcid", "doi")
"""Usual names of the id column, in any case; the first one present is used."""

TEXT_COLUMNS = ("title", "abstract", "contents", "content", "body", "full_text", "fulltext")
"""Usual names of text columns if none is called `text`; all that are present are used, in this order."""


@dataclass(frozen=True, slots=True)
class Columns:
    id: str | None
    text: tuple[str, ...]

    @property
    def are_standard(self) -> bool:
        return self.id in (None, "id") and self.text == ("text",)


def find_columns(names: Collection[str], options: ReadOptions) -> Columns:
    """Choose the columns of id and text. `text` is empty if none qualifies."""
    by_lower = {name.lower(): name for name in reversed(list(names))}
    id = options.id_column or next((by_lower[name] for name in ID_COLUMNS if name in by_lower), None)
    if options.text_column:
        return Columns(id, tuple(name for name in options.text_column if name in names))
    if "text" in by_lower:
        return Columns(id, (by_lower["text"],))
    text = tuple(by_lower[name] for name in TEXT_COLUMNS if name in by_lower)
    # A citation may consist of its title. In other records a lone title means that the text has an unknown name.
    is_citation = id is not None and id.lower() == "pmid"
    return Columns(id, text if is_citation or [name.lower() for name in text] != ["title"] else ())


def document_from_record(record: Any, fallback_id: str, options: ReadOptions) -> Document | Rejection:
    if not isinstance(record, Mapping):
        return Rejection(fallback_id, "bad_record", f"expected an object, found {type(record).__name__}")
    columns = find_columns(record.keys(), options)
    id = record.get(columns.id) if columns.id is not None else None
    if not (id is None or isinstance(id, str) or (isinstance(id, int) and not isinstance(id, bool))):
        kind = type(id).__name__
        return Rejection(fallback_id, "bad_record", f"`{columns.id}` is {kind}, neither text nor a whole number")
    doc_id = fallback_id if id in (None, "") else _add_prefix(str(id), columns.id or "")
    builder = TextBuilder()
    found = False
    for name in columns.text:
        value = record[name]
        if value is not None and not isinstance(value, str):
            return Rejection(doc_id, "bad_record", f"`{name}` is {type(value).__name__}")
        found |= value is not None
        builder.add(name, value or "")
    if not found:
        missing = " and ".join(f"`{name}`" for name in options.text_column or columns.text or ("text",))
        return Rejection(doc_id, "bad_record", f"no {missing} among the columns {', '.join(map(str, record))[:500]}")
    return _build_document(record, columns, doc_id, builder)


def _build_document(record: Mapping[str, Any], columns: Columns, doc_id: str, builder: TextBuilder) -> Document:
    by_lower = {name.lower(): name for name in reversed(list(record))}
    title, year = (record.get(by_lower.get(name, name)) for name in ("title", "year"))
    is_year = isinstance(year, int) and not isinstance(year, bool) and 0 < year < 10_000
    used = {columns.id, *columns.text, by_lower.get("title"), by_lower.get("year")}
    metadata = {key: value for key, value in record.items() if key not in used}
    if not columns.are_standard:
        metadata["columns_read"] = {"id": columns.id, "text": list(columns.text)}
    return Document(
        doc_id=doc_id,
        text=builder.text,
        sections=builder.sections,
        title=title if isinstance(title, str) else None,
        year=year if is_year else None,
        metadata=metadata,
    )


def _add_prefix(value: str, column: str) -> str:
    """Write an id as other formats do: `123` in a column `pmid` becomes `PMID:123`."""
    match column.lower():
        case "pmid" if value.isdecimal():
            return f"PMID:{value}"
        case "pmcid" if not value.startswith("PMCID:"):
            return f"PMCID:PMC{value}" if value.isdecimal() else f"PMCID:{value}"
        case "doi" if not value.startswith("DOI:"):
            return f"DOI:{value}"
    return value
