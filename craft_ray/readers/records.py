"""Documents from records with named columns: JSON objects, rows of CSV or Parquet.

Columns of title, year and journal fill the document's own. The others go to its metadata.
"""

import html
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from craft_ray.core.schema import Document, Rejection
from craft_ray.readers.ids import column_key, id_kind, id_of_kind, own_id
from craft_ray.readers.reader import ReadOptions
from craft_ray.readers.text_builder import TextBuilder

ID_COLUMNS = (
    *("pmid", "pubmed_id", "pubid", "id", "_id", "doc_id", "docid", "document_id", "pmcid", "doi"),
    *("paper_id", "corpusid", "corpus_id", "cord_uid"),
)
"""Usual names of the id column, as `column_key` writes them; the first one with a value is used."""

TEXT_COLUMNS = (
    *("title", "abstract", "abstracttext", "abstract_text", "question", "context", "contexts", "long_answer"),
    *("contents", "content", "page_content", "body", "body_text", "full_text", "fulltext", "article"),
    *("sections", "passages", "paragraphs", "sentences"),
)
"""Usual names of text columns if none is called `text`; all that are present are used, in this order."""

_HEADINGS = ("section", "heading", "section_title", "title", "name", "type")
"""Names of what names a section's text."""

_MAX_DEPTH = 8

_MARKUP = re.compile(r"</?(?:b|i|p|sub|sup|u|h[1-6]|ul|ol|li|br|em|strong|jats:\w+)\s*/?>", re.IGNORECASE)
_HEADING = re.compile(r"\s*<h4>([^<]*)</h4>\s*", re.IGNORECASE)

YEAR_COLUMNS = ("year", "publication_year", "pub_year", "pubyear", "publication_date", "date", "publish_time")
JOURNAL_COLUMNS = ("journal", "journal_title", "journal_name", "journal_book", "journaltitle", "journalinfo", "venue")

_YEAR = re.compile(r"\s*([12][0-9]{3})(?![0-9])")

_INNER_OBJECTS = ("metadata", "_source", "data", "pdf_parse", "grobid_parse", "latex_parse", "row")
"""Objects whose columns count as the record's own if it lacks text that they have."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns to read, and the first column of each name as `column_key` writes it."""

    ids: tuple[str, ...]
    text: tuple[str, ...]
    by_key: Mapping[str, str]


@lru_cache(maxsize=4)  # the records of a file have the same columns
def find_columns(names: tuple[str, ...], options: ReadOptions) -> Columns:
    """Choose the columns of id and text. `text` is empty if none qualifies."""
    by_key = {column_key(name): name for name in reversed(names)}
    ids = (options.id_column,) if options.id_column else tuple(by_key[key] for key in ID_COLUMNS if key in by_key)
    if options.text_column:
        return Columns(ids, tuple(name for name in options.text_column if name in names), by_key)
    if "text" in by_key:
        return Columns(ids, (by_key["text"],), by_key)
    text = tuple(by_key[key] for key in TEXT_COLUMNS if key in by_key)
    # A citation may consist of its title. In other records a lone title means that the text has an unknown name.
    is_citation = any(id_kind(name) for name in ids) or any(name in by_key for name in JOURNAL_COLUMNS)
    return Columns(ids, text if is_citation or text != (by_key.get("title"),) else (), by_key)


def is_text_column(name: str, options: ReadOptions) -> bool:
    """Whether a column of this name may be read as text."""
    return name in options.text_column if options.text_column else column_key(name) in ("text", *TEXT_COLUMNS)


def is_id_column(name: str, options: ReadOptions) -> bool:
    """Whether a column of this name may be the id."""
    return name == options.id_column if options.id_column else column_key(name) in ID_COLUMNS


def names_of(columns: Iterable[str]) -> str:
    """Columns among which none has text, with advice."""
    return f"the columns {', '.join(map(str, columns))[:500]}; --text-column names those with text"


def unique_names(names: Iterable[str]) -> list[str]:
    """Names of columns without blanks around them. A second `title` becomes `title.1`, as in pandas."""
    unique: dict[str, None] = {}
    for name in map(str.strip, names):
        numbered = (f"{name}.{number}" for number in itertools.count(1))
        unique[name if name not in unique else next(n for n in numbered if n not in unique)] = None
    return list(unique)


def document_from_record(record: Any, fallback_id: str, options: ReadOptions) -> Document | Rejection:
    if isinstance(record, Rejection):
        return record
    if not isinstance(record, Mapping):
        return Rejection(fallback_id, "bad_record", f"expected an object, found {type(record).__name__}")
    columns = find_columns(tuple(record), options)
    if not columns.text or ("text" not in columns.by_key and _lacks_inner_text(record)):
        record, fallback_id = _opened(record, fallback_id)
        columns = find_columns(tuple(record), options)
    id_column, id = next(
        ((name, id) for name in columns.ids if (id := _value(record.get(name))) not in (None, "")), (None, None)
    )
    if isinstance(id, bool) or not isinstance(id, str | int | None):
        kind = type(id).__name__
        return Rejection(fallback_id, "bad_record", f"`{id_column}` is {kind}, neither text nor a whole number")
    doc_id = fallback_id if id_column is None else id_of_kind(id_column, id) or own_id(str(id), number_is_pmid=False)
    builder = TextBuilder()
    found = False
    for name in columns.text:
        try:
            for section, passage in _passages(_value(record[name]), name):
                found = True
                builder.add(section, passage)
        except TypeError as error:
            return Rejection(doc_id, "bad_record", f"`{name}` is {error}")
    if not found:
        missing = " and ".join(f"`{name}`" for name in options.text_column or columns.text or ("text",))
        return Rejection(doc_id, "bad_record", f"no {missing} among {names_of(record)}")
    return _build_document(record, doc_id, id_column, columns, builder)


def _opened(record: Mapping[str, Any], fallback_id: str) -> tuple[Mapping[str, Any], str]:
    """Return a record with the columns of its inner objects, and its id: in `{"7": {...}}` that is 7."""
    if len(record) == 1:
        ((key, value),) = record.items()
        if isinstance(value, Mapping) and key not in _INNER_OBJECTS:
            return value, key or fallback_id
    own = {name: value for name, value in record.items() if name not in _INNER_OBJECTS}
    inner = {name: value for found in _inner_objects(record) for name, value in found.items()}
    return {**inner, **own}, fallback_id


def _lacks_inner_text(record: Mapping[str, Any]) -> bool:
    return any(
        name in inner and name not in record for inner in _inner_objects(record) for name in ("title", "body_text")
    )


def _inner_objects(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [value for name in _INNER_OBJECTS if isinstance(value := record.get(name), Mapping)]


def _value(value: Any) -> Any:
    """The value, None for NaN, and a whole float as an integer: pandas turns a column with gaps into floats."""
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() else value


def _build_document(
    record: Mapping[str, Any], doc_id: str, id_column: str | None, columns: Columns, builder: TextBuilder
) -> Document:
    by_key = columns.by_key
    title = record.get(by_key.get("title", ""))
    year_column, year = _first(record, by_key, YEAR_COLUMNS, _year)
    journal_column, journal = _first(record, by_key, JOURNAL_COLUMNS, _journal)
    # A date says more than its year, and stays.
    used = {id_column, *columns.text, by_key.get("title")}
    if isinstance(record.get(journal_column or ""), str):
        used.add(journal_column)
    if year_column is not None and str(_value(record[year_column])).strip() == str(year):
        used.add(year_column)
    metadata = {name: value for name, value in record.items() if name not in used}
    if id_column not in (None, "id") or columns.text != ("text",):
        metadata["columns_read"] = {"id": id_column, "text": list(columns.text)}
    return Document(
        doc_id=doc_id,
        text=builder.text,
        sections=builder.sections,
        title=title if isinstance(title, str) else None,
        year=year,
        journal=journal,
        metadata=metadata,
    )


def _first(
    record: Mapping[str, Any], by_key: Mapping[str, str], keys: Iterable[str], convert: Callable[[Any], Any]
) -> tuple[str | None, Any]:
    """Return the first of some columns whose value can be converted, and the result."""
    found = ((by_key[key], value) for key in keys if key in by_key and (value := convert(record[by_key[key]])))
    return next(found, (None, None))


def _year(value: Any) -> int | None:
    match = _YEAR.match(str(value))
    return int(match.group(1)) if match else None


def _journal(value: Any) -> str | None:
    """A journal's name, also as in `{"journal": {"title": "Cell"}}` or `{"name": "Cell"}`."""
    for name in ("journal", "title", "name"):
        if isinstance(value, Mapping):
            value = value.get(name, value)
    return value if isinstance(value, str) and value else None


def _passages(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the section and the text of each passage of a value.

    Raises TypeError for a value that is neither text, nor a list or object that has some.
    """
    if isinstance(value, str):
        yield from _marked_up(value, name) if column_key(name) == "abstracttext" else [(name, value)]
    elif isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        for item in value:
            if isinstance(item, list) and all(isinstance(word, str) and " " not in word for word in item):
                yield name, " ".join(item)  # the words of a sentence
            else:
                yield from _passages(item, name, depth + 1)
    elif isinstance(value, Mapping) and depth < _MAX_DEPTH:
        yield from _object_passages(value, name, depth)
    elif value is not None:
        raise TypeError(type(value).__name__)


def _object_passages(value: Mapping[str, Any], name: str, depth: int) -> Iterator[tuple[str, str]]:
    by_key = {column_key(key): inner for key, inner in value.items()}
    texts = ["text"] if "text" in by_key else [key for key in TEXT_COLUMNS if key in by_key and key != "title"]
    heading = next((by_key[key] for key in _HEADINGS if isinstance(by_key.get(key), str) and by_key[key].strip()), "")
    if not texts:
        raise TypeError(f"an object without `text`, of {', '.join(value)}"[:200])
    for key in texts:
        yield from _passages(by_key[key], f"{name}/{heading.strip()}" if heading else name, depth + 1)


def _marked_up(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Passages of the markup in which Europe PMC gives abstracts: `<h4>Methods</h4>Mice <i>ran</i>.`"""
    first, *parts = _HEADING.split(text)
    for heading, passage in [("", first), *zip(parts[::2], parts[1::2], strict=True)]:
        heading = heading.strip().rstrip(":.")
        yield f"{name}/{heading}" if heading else name, html.unescape(_MARKUP.sub("", passage)).strip()
