"""Documents from records of named columns: an object of JSON, a row of CSV or Parquet.

`id` and `text` are the document, `title` and `year` fill their columns, all else is metadata. Columns of other names
are given by the settings or found by the names in ID_COLUMNS and TEXT_COLUMNS; the metadata then says which were read.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from craft_ray.core.schema import Document, Rejection
from craft_ray.readers.reader import ReadOptions
from craft_ray.readers.text_builder import TextBuilder

ID_COLUMNS = ("id", "_id", "doc_id", "docid", "document_id", "pmid", "pmcid", "doi")
"""Usual names of a column of ids, in any case; the first that is there counts."""

TEXT_COLUMNS = ("title", "abstract", "contents", "content", "body", "full_text", "fulltext")
"""Usual names of columns of text where none is called `text`; all that are there count, in this order."""

_PREFIXES = {"pmid": "PMID:", "pmcid": "PMCID:", "doi": "DOI:"}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a record that are its id and its text, by their names in the record."""

    id: str | None
    text: tuple[str, ...]

    @property
    def usual(self) -> bool:
        """True if these are the columns that need no telling."""
        return self.id in (None, "id") and self.text == ("text",)


def find_columns(names: Collection[str], options: ReadOptions) -> Columns:
    """The columns among some names; no text column if there is none."""
    by_lower = {name.lower(): name for name in reversed(list(names))}
    id = options.id_column or next((by_lower[name] for name in ID_COLUMNS if name in by_lower), None)
    if options.text_column:
        return Columns(id, tuple(name for name in options.text_column if name in names))
    if "text" in by_lower:
        return Columns(id, (by_lower["text"],))
    text = tuple(by_lower[name] for name in TEXT_COLUMNS if name in by_lower)
    # A title alone is a document where it is a citation's; else the text has a name that nobody knows.
    is_citation = id is not None and id.lower() == "pmid"
    return Columns(id, text if is_citation or [name.lower() for name in text] != ["title"] else ())


def document_from_record(record: Any, fallback_id: str, options: ReadOptions) -> Document | Rejection:
    """A Document from a mapping of columns to values."""
    if not isinstance(record, Mapping):
        return Rejection(fallback_id, "bad_record", f"expected an object, found {type(record).__name__}")
    columns = find_columns(record.keys(), options)
    given = record.get(columns.id) if columns.id is not None else None
    if not (given is None or isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool))):
        kind = type(given).__name__
        return Rejection(fallback_id, "bad_record", f"`{columns.id}` is {kind}, neither text nor a whole number")
    doc_id = fallback_id if given in (None, "") else _with_prefix(str(given), columns.id or "")
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
    return _document(record, columns, doc_id, builder)


def _document(record: Mapping[str, Any], columns: Columns, doc_id: str, builder: TextBuilder) -> Document:
    by_lower = {name.lower(): name for name in reversed(list(record))}
    title, year = (record.get(by_lower.get(name, name)) for name in ("title", "year"))
    is_year = isinstance(year, int) and not isinstance(year, bool) and 0 < year < 10_000
    used = {columns.id, *columns.text, by_lower.get("title"), by_lower.get("year")}
    metadata = {key: value for key, value in record.items() if key not in used}
    if not columns.usual:
        metadata["columns_read"] = {"id": columns.id, "text": list(columns.text)}
    return Document(
        doc_id=doc_id,
        text=builder.text,
        sections=builder.sections,
        title=title if isinstance(title, str) else None,
        year=year if is_year else None,
        metadata=metadata,
    )


def _with_prefix(value: str, column: str) -> str:
    """An id as other formats write it: the number of a column `pmid` is `PMID:123`."""
    prefix = _PREFIXES.get(column.lower(), "")
    if prefix == "PMID:" and not value.isdecimal():
        return value
    if prefix == "PMCID:" and value.isdecimal():
        value = f"PMC{value}"
    return value if value.startswith(prefix) else prefix + value
