"""The command `ground`: new concept ids for all entities of an output, without running the model again.

Each file of `entities` is rewritten with the ids of the lexicon, and one commit replaces all files; until then readers
see the old ids. The name of a new file is derived from the lexicon, its prefixes and the old file's name, so a run
after a killed one finds the files that are done.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from craft_ray.annotation.concepts import described, with_absolute_ontologies, with_dictionary_of, write_concepts
from craft_ray.annotation.rewrites import run_tasks
from craft_ray.concepts.grounding import RULES_VERSION, Grounder
from craft_ray.concepts.loading import load_grounder
from craft_ray.core.connection import ray_session
from craft_ray.core.descriptions import KEY, descriptions_of, labels_in
from craft_ray.core.errors import CraftRayError, RunError, SettingsError, StoppedError
from craft_ray.core.schema import CONCEPT_COLUMNS, LABEL
from craft_ray.core.settings import Settings
from craft_ray.core.signals import StopRequest, stop_on_signal
from craft_ray.storage.addresses import absolute, join
from craft_ray.storage.failures import explain
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import DataFile, partition_folder
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.records import RunRecord, kept_versions, last_model
from craft_ray.tables.rewriting import run_locally
from craft_ray.tables.snapshots import mentions_of, texts_of
from craft_ray.tables.writer import Tables

if TYPE_CHECKING:
    import ray

PART_ROWS = 1_000_000
"""Entities of one part, for which the texts of their documents are read together."""

RAY_FROM = 4
"""Number of parts from which Ray is started; fewer are processed in this process."""


def ground(output: str, settings: Settings) -> dict[str, Any]:
    """Give all entities of an output concept ids by the lexicon of the settings; return a summary.

    Entities and scores stay as they are: `min_score` and `grounded_only` apply only to annotation.

    Raises SettingsError and OutputBusyError before anything is written, RunError if the run fails, StoppedError on a
    signal.
    """
    storage, output = Storage.of(settings), absolute(output)
    settings = with_dictionary_of(storage, output, settings)
    model = last_model(storage, output) or {"source": "", "fingerprint": "", "labels": {}}
    unfiltered = settings.model_copy(update={"grounded_only": (), "min_score": None})
    described_labels = descriptions_of(model.get(KEY, {}), model.get(KEY))
    grounder = load_grounder(unfiltered, storage, labels_in(model), described=described_labels)
    if grounder is None:
        raise SettingsError("there is nothing to ground with: name ontologies with --ontology")
    lexicon = described(grounder.lexicon)
    with stop_on_signal() as stop, hold_lease(storage, output, stop.wait) as lease:
        run_id = lease.run_id
        tables = Tables(storage, output, run_id)
        record = RunRecord(
            storage,
            output,
            run_id,
            inputs=[],
            output=output,
            model=model,
            settings=with_absolute_ontologies(settings).model_dump(mode="json"),
            lexicon=lexicon,
        )
        try:
            counts = _ground_files(tables, storage, grounder, settings, stop)
            write_concepts(tables, grounder.lexicon)
            record.add(concepts_in_step=True, grounding=counts)
            tables.finish(settings.compact, kept_versions(storage, output, settings.keep_versions), stop.is_set)
        except Exception as error:
            ours = error if isinstance(error, CraftRayError) else RunError(f"grounding failed: {explain(error)}")
            record.close(ours.status, {}, [], tables.versions(), str(ours))
            raise ours from error
        status = "complete" if counts["files"] else "nothing_new"
        record.close(status, {}, [], tables.versions())
    return {"run_id": run_id, "status": status, **counts, "lexicon": lexicon}


def _ground_files(
    tables: Tables, storage: Storage, grounder: Grounder, settings: Settings, stop: StopRequest
) -> dict[str, int]:
    """Write and commit the new files; return the number of new files and of all entities."""
    parts = list(split_by_rows(tables.entities.files(), PART_ROWS))
    if len(parts) < RAY_FROM:
        rewrites = [Grounding(storage, tables.output, grounder, part) for part in parts]
        written = _until_stopped(run_locally(rewrites), stop)
    else:
        import ray

        with ray_session(settings):
            stop.listen()
            shared = ray.put(grounder)
            rewrites = [Grounding(storage, tables.output, shared, part) for part in parts]
            written = _until_stopped(run_tasks(rewrites), stop)
    pairs = zip((file for part in parts for file in part), written, strict=True)
    changed = [(old, new) for old, new in pairs if old.path != new.path]
    if changed:
        entities = tables.entities
        entities.commit_files([new for _, new in changed], entities.pair, [old for old, _ in changed])
    return {"files": len(changed), "entities": sum(file.rows for file in written)}


def _until_stopped(parts: Iterator[Sequence[DataFile]], stop: Event) -> list[DataFile]:
    written: list[DataFile] = []
    for files in parts:
        written += files
        if stop.is_set():
            raise StoppedError("stopped by a signal; the same command continues with the remaining files")
    return written


def split_by_rows(files: Sequence[DataFile], rows: int) -> Iterator[list[DataFile]]:
    """Split files into groups of up to `rows` rows, with files of the same documents close to each other."""
    group: list[DataFile] = []
    total = 0
    for file in sorted(files, key=lambda file: (file.first_id or "", file.path)):
        number = file.rows
        if group and total + number > rows:
            yield group
            group, total = [], 0
        group.append(file)
        total += number
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class Grounding:
    """Rewrites files of `entities` with the ids of a lexicon (see `rewriting.Rewrite`)."""

    storage: Storage
    output: str
    grounder: "Grounder | ray.ObjectRef[Grounder]"
    files: Sequence[DataFile]

    def run(self) -> Sequence[DataFile]:
        """Return a new file for each file, or the file itself if it already has the ids of this grounder."""
        grounder = self.grounder
        if not isinstance(grounder, Grounder):
            import ray

            grounder = ray.get(grounder)
        prefix = f"ground-{mark_of(grounder)}-"
        rows = {}
        for file in self.files:
            if not file.path.rpartition("/")[2].startswith(prefix):
                with self.storage.open(join(self.output, "entities", file.path)) as stream:
                    rows[file.path] = pq.read_table(stream)
        ids = sorted({doc_id for table in rows.values() for doc_id in pc.unique(table["doc_id"]).to_pylist()})
        texts = texts_of(self.storage, self.output, ids) if ids else {}
        has_genes = any(str(file.partition[LABEL]) in grounder.gene_labels for file in self.files)
        labels = grounder.labels_of("NCBITaxon")
        taxa = mentions_of(self.storage, self.output, ids, labels) if ids and has_genes else None
        return [
            self._write(file, prefix, rows[file.path], grounder, texts, taxa) if file.path in rows else file
            for file in self.files
        ]

    def _size_if_whole(self, url: str, rows: int) -> int | None:
        """The bytes of a file that a dead run has written to its end, None if there is none."""
        size = self.storage.size(url)
        try:
            with self.storage.open(url) as stream:
                return size if size and pq.ParquetFile(stream).metadata.num_rows == rows else None
        except (FileNotFoundError, pa.ArrowInvalid):
            return None

    def _write(
        self,
        file: DataFile,
        prefix: str,
        rows: pa.Table,
        grounder: Grounder,
        texts: dict[str, str | None],
        taxa: pa.Table,
    ) -> DataFile:
        name = hashlib.blake2b(file.path.encode(), digest_size=12).hexdigest()
        path = f"{partition_folder(file.partition)}{prefix}{name}.parquet"
        url = join(self.output, "entities", path)
        size = self._size_if_whole(url, file.rows)
        if size is None:
            sink = pa.BufferOutputStream()
            pq.write_table(_with_ids(rows, str(file.partition[LABEL]), grounder, texts, taxa), sink, compression="zstd")
            content = sink.getvalue().to_pybytes()
            self.storage.write_bytes(url, content)
            size = len(content)
        return replace(file, path=path, size=size)


def mark_of(grounder: Grounder) -> str:
    """A digest of all that decides which ids mentions get."""
    prefixes = sorted((label, *some) for label, some in grounder.prefixes.items())
    rules = [RULES_VERSION, grounder.lexicon.fingerprint, prefixes, grounder.scores.tolist()]
    return hashlib.blake2b(json.dumps(rules).encode(), digest_size=8).hexdigest()


def _with_ids(rows: pa.Table, label: str, grounder: Grounder, texts: dict[str, str | None], taxa: pa.Table) -> pa.Table:
    """Look up the ids of one label's rows again, and return the rows with the new columns.

    texts: text of each document, by its id
    taxa:  Taxon mentions of the same documents, from which the species of a gene follows
    """
    mentions = rows.select(["doc_id", "mention", "start"]).append_column("label", pa.repeat(label, rows.num_rows))
    if label in grounder.gene_labels:
        others = taxa.filter(pc.is_in(taxa["doc_id"], pc.unique(rows["doc_id"])))
        mentions = pa.concat_tables([mentions, others.select(mentions.schema.names)], promote_options="permissive")
    documents = pc.dictionary_encode(mentions["doc_id"].combine_chunks().cast(pa.string()))
    mentions = mentions.append_column("row", documents.indices.cast(pa.int64()))
    found = grounder.add_concepts(mentions, [texts.get(doc_id) for doc_id in documents.dictionary.to_pylist()])
    found = found.slice(0, rows.num_rows)
    grounded = rows.select([name for name in rows.schema.names if name not in CONCEPT_COLUMNS])
    for column in CONCEPT_COLUMNS:
        grounded = grounded.append_column(column, found[column])
    return grounded
