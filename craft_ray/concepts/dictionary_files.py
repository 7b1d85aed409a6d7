"""Dictionaries of a user: names to find in texts beside the model's mentions, as TSV or as an ontology."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np

from craft_ray.concepts.build import LexiconBuilder
from craft_ray.concepts.dictionary import Dictionary, make_dictionary
from craft_ray.concepts.lexicon import CORPUS, Lexicon
from craft_ray.concepts.lexicon_files import open_ontology, read_ontology
from craft_ray.concepts.terms import EXACT, Term, prefix_of
from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import canonical
from craft_ray.storage.storage import Storage

COLUMNS = ("name", "id", "label")


class LoadedDictionary(NamedTuple):
    """Names to find, their concepts, and by label the prefixes of these concepts."""

    dictionary: Dictionary
    lexicon: Lexicon
    prefixes: dict[str, tuple[str, ...]]


def load_dictionary(storage: Storage, files: Sequence[str]) -> LoadedDictionary:
    """Read dictionaries.

    files: each a TSV of names, ids and labels, or LABEL=FILE, a TSV of names and ids or an ontology

    Raises SettingsError if a file cannot be read, or an entry has no label or no CURIE.
    """
    entries = {file: list(_entries(storage, file)) for file in files}
    prefixes: dict[str, dict[str, None]] = {}
    for label, term in (entry for some in entries.values() for entry in some):
        prefixes.setdefault(label, {})[prefix_of(term.id)] = None
    builder = LexiconBuilder(list(dict.fromkeys(prefix for some in prefixes.values() for prefix in some)))
    labels = list(prefixes)
    names, label_of = list[str](), list[int]()
    for file, some in entries.items():
        count = len(names)
        for label, term in some:
            builder.add_term(term, CORPUS)
            texts = [text for text in (term.name, *(text for text, _ in term.synonyms)) if text]
            names += texts
            label_of += [labels.index(label)] * len(texts)
        builder.sources.append(
            {"file": file, "prefix": "", "version": None, "terms": len(some), "names": len(names) - count}
        )
    if not names:
        raise SettingsError(f"the dictionary {', '.join(files)} has no names")
    dictionary = make_dictionary(names, np.array(label_of, np.int64), labels)
    return LoadedDictionary(dictionary, builder.lexicon(), {label: tuple(some) for label, some in prefixes.items()})


def _entries(storage: Storage, file: str) -> Iterator[tuple[str, Term]]:
    """Label and term of each entry. Of an ontology the names and exact synonyms count."""
    label, is_named, path = file.rpartition("=")
    with open_ontology(storage, path) as stream:
        start = stream.read(1000).lstrip()
        if not (start.startswith((b"{", b"[")) or b"format-version:" in start):
            stream.seek(0)
            yield from _table_entries(stream, path, label)
            return
    if not is_named:
        raise SettingsError(f"the dictionary {file} is an ontology: say which label its names have, as LABEL={file}")
    for item in read_ontology(storage, path, LexiconBuilder(())):
        if isinstance(item, Term) and not item.obsolete and item.name:
            exact = tuple(synonym for synonym in item.synonyms if synonym[1] == EXACT)
            yield canonical(label), item._replace(synonyms=exact, only_known=False)


def _table_entries(stream: BinaryIO, path: str, label: str) -> Iterator[tuple[str, Term]]:
    order: tuple[str, ...] = COLUMNS
    rows = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        for number, row in enumerate(rows, 1):
            names = tuple(cell.strip().casefold() for cell in row)
            if number == 1 and {"name", "id"} <= set(names):
                order = names
                continue
            if not any(names):
                continue
            entry = {column: cell.strip() for column, cell in zip(order, row, strict=False)}
            own, curie, name = entry.get("label") or label, entry.get("id", ""), entry.get("name", "")
            if not own or not name or not prefix_of(curie) or prefix_of(curie) == curie:
                needs = "a name, an id such as HP:0001250, and a label (or LABEL=FILE)"
                raise SettingsError(f"line {number} of the dictionary {path} needs {needs}")
            yield canonical(own), Term(curie, name)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"the dictionary {path} is no text in UTF-8 with tabs: {error}") from error
