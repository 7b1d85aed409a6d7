"""A lexicon as one file and back: a zip of Parquet tables, each small, open and readable by other tools.

`names.parquet` holds the names' keys, `concepts.parquet` ids and names, `parents.parquet` is_a, `old.parquet` older
ids, `lexicon.json` where all is from.
"""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from craft_ray.concepts.lexicon import Lexicon

FORMAT = 1
"""Version of the file's layout."""

DESCRIPTION = "lexicon.json"

_WHEN = (1980, 1, 1, 0, 0, 0)
"""The time of all members, so that equal lexicons are equal files."""


class NotALexiconError(ValueError):
    """Bytes that are no lexicon, or one of another layout."""


def with_fingerprint(lexicon: Lexicon) -> Lexicon:
    """The lexicon with the hash of its content."""
    digest = hashlib.sha256(json.dumps([lexicon.prefixes, lexicon.sources], sort_keys=True).encode())
    for name in ("key", "folded", "exact", "tier", "concept", "prior", "parent_start", "parent", "old_concept"):
        digest.update(getattr(lexicon, name).tobytes())
    for array in (lexicon.ids, lexicon.names, lexicon.old_ids):
        for text in array.to_pylist():
            digest.update(b"\0" if text is None else text.encode() + b"\n")
    return replace(lexicon, fingerprint=digest.hexdigest())


def pack(lexicon: Lexicon) -> bytes:
    """The file of a lexicon."""
    by_concept = np.lexsort((lexicon.key, lexicon.concept))  # small differences, which Parquet packs well
    names = {name: getattr(lexicon, name)[by_concept] for name in ("key", "folded", "exact", "tier", "concept")}
    concepts = {
        "id": lexicon.ids,
        "name": lexicon.names,
        "ontology": lexicon.ontology,
        "prior": lexicon.prior,
        "specific": lexicon.specific,
    }
    child = np.repeat(np.arange(len(lexicon.ids), dtype=np.uint32), np.diff(lexicon.parent_start))
    tables = {
        "names": names,
        "concepts": concepts,
        "parents": {"child": child, "parent": lexicon.parent},
        "old": {"id": lexicon.old_ids, "concept": lexicon.old_concept},
    }
    description = {
        "format": FORMAT,
        "prefixes": lexicon.prefixes,
        "sources": lexicon.sources,
        "fingerprint": lexicon.fingerprint,
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, columns in tables.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.parquet", _WHEN), _parquet(pa.table(columns)))
        archive.writestr(zipfile.ZipInfo(DESCRIPTION, _WHEN), json.dumps(description, indent=1))
    return sink.getvalue()


def _parquet(table: pa.Table) -> bytes:
    """A table, packed small: sorted numbers and ids as differences, hashes as they are."""
    encodings = {
        name: "DELTA_BYTE_ARRAY" if pa.types.is_string(kind) else "DELTA_BINARY_PACKED"
        for name, kind in zip(table.schema.names, table.schema.types, strict=True)
        if name in ("id", "name", "concept", "child", "parent")
    }
    sink = io.BytesIO()
    dictionary = [name for name in table.schema.names if name not in encodings and name != "key"]
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


def unpack(content: bytes) -> Lexicon:
    """The lexicon of a file.

    Raises NotALexiconError if it is none.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            description: dict[str, Any] = json.loads(archive.read(DESCRIPTION))
            if description["format"] != FORMAT:
                raise NotALexiconError(f"its layout has the version {description['format']}, not {FORMAT}")
            names, concepts, parents, old = (
                pq.read_table(io.BytesIO(archive.read(f"{name}.parquet"))).combine_chunks()
                for name in ("names", "concepts", "parents", "old")
            )
    except (zipfile.BadZipFile, KeyError, ValueError, pa.ArrowInvalid) as error:
        raise error if isinstance(error, NotALexiconError) else NotALexiconError(str(error)) from error
    order = np.argsort(names["key"].to_numpy(), kind="stable")
    count = concepts.num_rows
    start = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(parents["child"].to_numpy(), minlength=count), out=start[1:])
    return Lexicon(
        **{name: names[name].to_numpy()[order] for name in ("key", "folded", "exact", "tier", "concept")},
        ids=_whole(concepts["id"]),
        names=_whole(concepts["name"]),
        **{name: concepts[name].to_numpy() for name in ("ontology", "prior", "specific")},
        parent_start=start,
        parent=parents["parent"].to_numpy(),
        old_ids=_whole(old["id"]),
        old_concept=old["concept"].to_numpy(),
        prefixes=tuple(description["prefixes"]),
        sources=tuple(description["sources"]),
        fingerprint=description["fingerprint"],
    )


def _whole(column: pa.ChunkedArray) -> pa.StringArray:
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
