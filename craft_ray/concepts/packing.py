"""The file of a lexicon: a zip of Parquet tables that other tools can read.

`names.parquet` holds the keys of names, `concepts.parquet` ids and preferred names, `parents.parquet` is_a relations,
`old.parquet` older ids, `xrefs.parquet` cross-references, and `lexicon.json` the sources.
"""

import hashlib
import io
import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from craft_ray.concepts.lexicon import Lexicon, group_parents
from craft_ray.core.user_cache import cached, remembered
from craft_ray.core.version import __version__

FORMAT = 3

_TABLES = {
    "names": {name: name for name in ("key", "folded", "exact", "tier", "concept")},
    "concepts": {"id": "ids", "name": "names", "ontology": "ontology", "prior": "prior", "taxon": "taxon"},
    "parents": {"child": "child", "parent": "parent"},
    "old": {"id": "old_ids", "concept": "old_concept"},
    "xrefs": {"id": "xrefs", "concept": "xref_concept"},
}
"""By table, the attribute of a lexicon for each column."""

_DESCRIPTION = "lexicon.json"
_OTHERS = b"others"
_COLUMNS = [field.name for field in fields(Lexicon) if field.name not in ("prefixes", "sources", "fingerprint")]

_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
"""Of all members, so that equal lexicons are equal files."""


class NotALexiconError(ValueError):
    """Bytes that are not a lexicon, or one with another FORMAT."""


def pack(lexicon: Lexicon) -> bytes:
    description = {
        "format": FORMAT,
        "prefixes": lexicon.prefixes,
        "sources": lexicon.sources,
        "fingerprint": lexicon.fingerprint,
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for table, columns in _TABLES.items():
            rows = pa.table({column: getattr(lexicon, name) for column, name in columns.items()})
            archive.writestr(zipfile.ZipInfo(f"{table}.parquet", _TIMESTAMP), _parquet(rows))
        archive.writestr(zipfile.ZipInfo(_DESCRIPTION, _TIMESTAMP), json.dumps(description, indent=1))
    return sink.getvalue()


def _parquet(table: pa.Table) -> bytes:
    encodings = {
        name: "DELTA_BYTE_ARRAY" if pa.types.is_string(kind) else "DELTA_BINARY_PACKED"
        for name, kind in zip(table.schema.names, table.schema.types, strict=True)
        if name in ("id", "name", "key", "concept", "child", "parent")
    }
    if "key" in encodings:
        encodings["concept"] = "BYTE_STREAM_SPLIT"  # in the order of keys
    import pyarrow.parquet as pq  # takes as long as pyarrow, and a cached lexicon does not need it

    sink = io.BytesIO()
    dictionary = [name for name in table.schema.names if name not in encodings]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=19,
        use_dictionary=dictionary,
        column_encoding=encodings,
        write_statistics=False,
        store_schema=True,
    )
    return sink.getvalue()


def unpack_cached(content: bytes | Path) -> Lexicon:
    """Like `unpack`, which is done once: the columns are kept in the user's cache and mapped from there.

    content: of a lexicon, or its local file, which is read only when it has changed
    """
    form = f"{_COLUMNS} {__version__}"
    if isinstance(content, Path):
        key = remembered(content, form, lambda: _key(form, content.read_bytes()))
        return _from_columns(cached("lexicons", key, lambda: _to_columns(unpack(content.read_bytes()))))
    return _from_columns(cached("lexicons", _key(form, content), lambda: _to_columns(unpack(content))))


def _key(form: str, content: bytes) -> str:
    return hashlib.sha256(form.encode() + content).hexdigest()


def _to_columns(lexicon: Lexicon) -> bytes:
    """A lexicon as an Arrow file of one row, with a list per column."""
    arrays = {name: pa.array(getattr(lexicon, name)) for name in _COLUMNS}
    lists = {name: pa.ListArray.from_arrays(pa.array([0, len(a)], pa.int32()), a) for name, a in arrays.items()}
    others = json.dumps([lexicon.prefixes, lexicon.sources, lexicon.fingerprint])
    table = pa.table(lists).replace_schema_metadata({_OTHERS: others})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _from_columns(content: memoryview) -> Lexicon:
    batch = pa.ipc.open_file(pa.py_buffer(content)).get_batch(0)
    columns = {name: batch[name].values for name in _COLUMNS}
    prefixes, sources, fingerprint = json.loads(batch.schema.metadata[_OTHERS])
    return Lexicon(
        **{name: a if pa.types.is_string(a.type) else a.to_numpy() for name, a in columns.items()},
        prefixes=tuple(prefixes),
        sources=tuple(sources),
        fingerprint=fingerprint,
    )


def unpack(content: bytes) -> Lexicon:
    """Raises NotALexiconError if the bytes are not a lexicon."""
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            description: dict[str, Any] = json.loads(archive.read(_DESCRIPTION))
            if description["format"] != FORMAT:
                raise NotALexiconError(
                    f"its layout has the version {description['format']}, not {FORMAT}: "
                    "compile it again with `craft-ray concepts build`"
                )
            for table, names in _TABLES.items():
                rows = pq.ParquetFile(io.BytesIO(archive.read(f"{table}.parquet"))).read(use_threads=False)
                columns |= {name: rows[column].combine_chunks() for column, name in names.items()}
    except (zipfile.BadZipFile, KeyError, ValueError, pa.ArrowInvalid) as error:
        raise error if isinstance(error, NotALexiconError) else NotALexiconError(str(error)) from error
    arrays = {name: a if pa.types.is_string(a.type) else a.to_numpy() for name, a in columns.items()}
    parent_start, parent = group_parents(arrays.pop("child"), arrays.pop("parent"), len(arrays["ids"]))
    return Lexicon(
        **arrays,
        parent_start=parent_start,
        parent=parent,
        prefixes=tuple(description["prefixes"]),
        sources=tuple(description["sources"]),
        fingerprint=description["fingerprint"],
    )
