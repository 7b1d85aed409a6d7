"""What the commands answer about an output, as methods of `craft_ray.Output`. The commands call them too."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.dataset as ds

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import canonical
from craft_ray.core.settings import Settings, load_settings
from craft_ray.core.validation import nearest
from craft_ray.storage.addresses import absolute
from craft_ray.storage.storage import Storage
from craft_ray.tables import output

if TYPE_CHECKING:
    import duckdb

Names = str | Iterable[str]
"""One name or several."""


class Output(output.Output):
    """The tables of an output at one moment, and the questions that the commands answer.

    Methods raise SettingsError for what does not exist, with the nearest name.
    """

    def at(self, reference: str | int | None) -> "Output":
        """The same output in another state: a run id or its beginning, or a version of `documents`."""
        return open_output(self.storage, self.location, None if reference is None else str(reference))

    def top(
        self,
        label: Names = (),
        *,
        under: Names = (),
        concepts: bool = False,
        by: Literal["mentions", "documents", "year"] = "mentions",
        limit: int = 20,
    ) -> pa.Table:
        """The most frequent mentions, or with `concepts` or `under` the most frequent concepts.

        Columns label, mention, mentions, documents, score; or label, concept_id, concept, mentions, documents, score,
        spellings. By year, the mentions and documents of each year.
        """
        from craft_ray.report.queries import top_by_year, top_concepts, top_mentions

        labels, classes = self.known_labels(_several(label)), _several(under)
        with self.connect("entities", "ancestors", "xrefs", "documents") as connection:
            self._check_classes(connection, classes)
            if by == "year":
                return top_by_year(connection, labels, classes, concepts or bool(classes), limit)
            if not (concepts or classes):
                return top_mentions(connection, labels, by, limit)
            return top_concepts(connection, labels, classes, by, limit)

    def pairs(
        self,
        first: str,
        second: str,
        *,
        concepts: bool = False,
        by: Literal["lift", "npmi", "sentences", "documents"] = "lift",
        within: Literal["sentence", "document"] = "sentence",
        at_least: int = 3,
        limit: int = 20,
    ) -> pa.Table:
        """Mentions or concepts of two labels that occur in one sentence or document.

        Columns first, second, sentences, documents, lift, npmi.
        """
        from craft_ray.report.queries import pairs

        one, other = self.known_labels([first, second])
        with self.connect("entities") as connection:
            return pairs(connection, one, other, by, at_least, limit, concepts, within)

    def diff(self, since: str | int | None = None, *, top: int = 10) -> dict[str, Any]:
        """Changes since another state, by default since the one before the last change, as `craft-ray diff --json`."""
        from craft_ray.report.changes import compare

        return compare(self.at(self.run_before_last_change() if since is None else since), self, top)

    def export(
        self,
        destination: str | PathLike[str],
        format: str,
        *,
        label: Names = (),
        concept: Names = (),
        under: Names = (),
        min_score: float | None = None,
        doc_id: Names = (),
        with_entities: bool = False,
        settings: Settings | None = None,
        shard_documents: int = 10_000,
        shard_mb: int = 128,
        progress: Callable[[int, int], None] = lambda done, total: None,
        **options: Any,
    ) -> dict[str, Any]:
        """Write documents with their entities for other tools, and return the manifest; see `craft-ray export`.

        concept: only entities with these ids of concepts
        under:   only entities with concepts that are one of these classes or below one
        options: gzip, overwrite, excel_safe and with_ray, as of `export.export`
        """
        from craft_ray.export.export import export
        from craft_ray.export.plan import PartSizes, Selection

        doc_ids, classes = _several(doc_id), _several(under)
        self.check_documents(doc_ids)
        selection = Selection(
            labels=tuple(sorted(set(self.known_labels(_several(label))))),
            min_score=min_score,
            doc_ids=tuple(sorted(set(doc_ids))),
            with_entities=with_entities,
            concepts=tuple(sorted(set(_several(concept)))),
            under=tuple(sorted(set(classes))),
            within=self._below(classes),
        )
        return export(
            self,
            absolute(fspath(destination)),
            format,
            settings or load_settings(),
            selection=selection,
            sizes=PartSizes(shard_documents, shard_mb << 20),
            progress=progress,
            **options,
        )

    def report(
        self, html: str | PathLike[str], *, samples: int = 12, seed: int = 0, exact: bool = False, **options: Any
    ) -> dict[str, Any]:
        """Write a page about this output, and return its path, size and the rows read.

        options: title and progress, as of `report.write_report`
        """
        from craft_ray.report.report import MAX_ENTITIES, write_report

        return write_report(self, absolute(fspath(html)), samples, seed, None if exact else MAX_ENTITIES, **options)

    def verify(self, documents: int | None = None) -> pa.Table:
        """Check the latest state against what it promises. Columns claim, checked, faults, examples."""
        from craft_ray.tables.verify import verify

        return pa.Table.from_pylist([asdict(check) for check in verify(self.storage, self.location, documents)])

    def known_labels(self, names: Sequence[str]) -> list[str]:
        """Labels as the tables spell them."""
        stored = self.labels
        by_case = {label.casefold(): label for label in stored}
        found = [by_case.get(n.strip().casefold()) or by_case.get(canonical(n.strip()).casefold()) for n in names]
        if None in found:
            name, known = names[found.index(None)].strip(), ", ".join(stored) or "no entities"
            raise SettingsError(f"the tables hold no label {name}, only {known}{nearest(name, stored)}")
        return [label for label in found if label]

    def check_documents(self, doc_ids: Sequence[str]) -> None:
        """Raise SettingsError if one of these documents is not in the tables."""
        from craft_ray.report.queries import nearest_document

        wanted = ds.field("doc_id").isin(pa.array(doc_ids, pa.string()))
        stored = set(self.documents.to_arrow(["doc_id"], wanted)["doc_id"].to_pylist()) if doc_ids else set()
        for doc_id in doc_ids:
            if doc_id not in stored:
                with self.connect("documents") as connection:
                    similar = f"PMID:{doc_id}" if doc_id.isdecimal() else nearest_document(connection, doc_id)
                hint = f"; did you mean {similar}?" if similar else ""
                raise SettingsError(f"there is no document {doc_id} in {self.location}{hint}")

    def _check_classes(self, connection: "duckdb.DuckDBPyConnection", classes: Sequence[str]) -> None:
        from craft_ray.report.queries import nearest_class, unknown_classes

        if unknown := unknown_classes(connection, classes):
            similar = nearest_class(connection, unknown[0])
            hint = f"; did you mean {similar}?" if similar else ""
            raise SettingsError(f"no concept in {self.location} is {unknown[0]} or below it{hint}")

    def _below(self, classes: Sequence[str]) -> frozenset[str]:
        """The concepts that are one of these classes or below one."""
        from craft_ray.report.queries import concepts_below

        if not classes:
            return frozenset()
        with self.connect("ancestors", "xrefs") as connection:
            self._check_classes(connection, classes)
            return concepts_below(connection, classes)


def open_output(storage: Storage, location: str, at: str | None = None) -> Output:
    """Open an output; see `tables.output.open_output`."""
    opened = output.open_output(storage, location, at)
    return Output(storage, location, opened.versions, opened.run_id, opened.entities, opened.documents)


def _several(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
