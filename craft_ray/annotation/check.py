"""A look at the inputs before a run: format, documents and words of each file, and the parts that are not read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from craft_ray.annotation.inputs import Inputs, list_inputs, options_for
from craft_ray.annotation.items import is_title_alone
from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Deletion, Document, Item, Rejection
from craft_ray.core.settings import Settings
from craft_ray.readers import format_of, read_options, read_shard
from craft_ray.readers.reader import ReadOptions
from craft_ray.storage.failures import describe
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage

FILES = 200
"""Most files that are opened, spread evenly, so that a check takes seconds."""

DOCUMENTS = 500
"""Most documents that are read from each file."""

_REVISED = ("pubmed", "medline")
"""Formats in which a repeated id is a revision."""


@dataclass(slots=True)
class FileCheck:
    """The content of a file, as far as it was read.

    titles_alone: documents that have only a title
    words:        by the first component of section names
    left_out:     words by the part that `include` would add
    problem:      why reading ended early
    whole:        False if there are more than DOCUMENTS documents
    """

    file: str
    format: str | None = None
    documents: int = 0
    titles_alone: int = 0
    deleted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    columns: dict[str, Any] | None = None
    problem: str | None = None
    whole: bool = True

    def add(self, item: Item) -> None:
        if isinstance(item, Rejection):
            self.rejected[item.reason] = self.rejected.get(item.reason, 0) + 1
        elif isinstance(item, Deletion):
            self.deleted += 1
        else:
            self.documents += 1
            words: Counter[str] = Counter()
            for section in item.sections:
                words[section.name.partition("/")[0]] += len(item.text[section.start : section.end].split())
            self.titles_alone += is_title_alone(item)
            self.words = dict(Counter(self.words) + words)
            self.left_out = dict(Counter(self.left_out) + Counter(item.metadata.get("words_left_out", {})))
            self.columns = self.columns or item.metadata.get("columns_read")


def check(inputs: Inputs, settings: Settings) -> dict[str, Any]:
    """Read a part of the inputs as a run with these settings would, without a model and without Ray.

    Raises SettingsError for wrong settings and missing inputs.
    """
    options = read_options(settings)
    storage = Storage.of(settings)
    listing = list_inputs(storage, inputs, None, prune=False)
    opened = min(len(listing), FILES)
    chosen = listing.shards(np.arange(opened) * len(listing) // max(opened, 1))
    first_in: dict[str, str] = {}
    repeated: Counter[str] = Counter()
    files = []
    for shard in chosen:
        checked = FileCheck(shard.name)
        for item in _items(storage, shard, options, checked):
            checked.add(item)
            if isinstance(item, Document) and checked.format not in _REVISED:
                repeated[item.doc_id] += first_in.setdefault(item.doc_id, shard.name) != shard.name
        files.append(checked)
    duplicates = sorted(doc_id for doc_id, count in repeated.items() if count)
    return {
        "files": [asdict(checked) for checked in files],
        "files_found": len(listing),
        "files_passed_over": len(listing.ignored_files),
        "passed_over": listing.ignored_files[:10].to_pylist(),
        "ids_in_several_files": len(duplicates),
        "such_ids": duplicates[:10],
    }


def _items(storage: Storage, shard: Shard, options: ReadOptions, checked: FileCheck) -> Iterator[Item]:
    """Yield the first items of a file; note in `checked` why reading ended early."""
    options = options_for(shard, options)
    try:
        with storage.open(shard.name) as stream:
            checked.format = format_of(stream, shard.name, options)
        with storage.open(shard.name) as stream:
            items = read_shard(stream, shard.path, options)
            yield from islice(items, DOCUMENTS)
            checked.whole = next(items, None) is None
    except ShardError as error:
        checked.problem = str(error)
    except OSError as error:
        checked.problem = f"unreadable: {describe(error)}"
