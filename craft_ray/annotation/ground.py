"""Ids anew over the tables of an output, without the model: ontologies change every month.

Each file of `entities` becomes a new one with other ids; one commit puts all of them in place. Until then readers see
the ids as they were. The name of a new file is made of the lexicon's fingerprint and the old file's name. So the next
run after a killed one finds the files that are done.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray

from craft_ray.annotation.concepts import described, with_absolute_ontologies, write_concepts
from craft_ray.concepts.grounding import FINGERPRINT_LENGTH, Grounder
from craft_ray.concepts.loading import load_grounder
from craft_ray.core.connection import ray_session
from craft_ray.core.descriptions import KEY, descriptions_of, labels_in
from craft_ray.core.errors import CraftRayError, RunError, SettingsError, StoppedError
from craft_ray.core.logs import log
from craft_ray.core.schema import CONCEPT_COLUMNS, LABEL
from craft_ray.core.settings import Settings
from craft_ray.core.signals import stop_on_signal
from craft_ray.storage.addresses import absolute, join
from craft_ray.storage.failures import explain
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import DataFile, partition_folder
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.records import RunRecord, kept_versions, read_records
from craft_ray.tables.snapshots import texts_of
from craft_ray.tables.writer import Tables

ROWS_AT_ONCE = 1_000_000
"""Entities whose documents' texts are looked up in one pass over `documents`."""

RAY_FROM = 4
"""Parts of a table from which Ray is started for them; fewer are done in this process."""


def ground(
    output: str, settings: Settings, on_progress: Callable[[int, int], None] = lambda done, all: None
) -> dict[str, Any]:
    """Give all entities of an output their ids by the lexicon of the settings; returns a summary.

    No entity comes or goes and scores stay: `min_score` and `grounded_only` are for annotation alone.

    Raises SettingsError and OutputBusyError before any work begins, RunError if the run cannot go on, and StoppedError
    on a signal.
    """
    storage, output = Storage.of(settings), absolute(output)
    model = _model_of(storage, output)
    unfiltered = settings.model_copy(update={"grounded_only": (), "min_score": None})
    described_labels = descriptions_of(model.get(KEY, {}), model.get(KEY))
    grounder = load_grounder(unfiltered, storage, labels_in(model), described=described_labels)
    if grounder is None:
        raise SettingsError("there is nothing to ground with: name ontologies with --ontology")
    with stop_on_signal() as stop, hold_lease(storage, output, stop.wait, log.warning) as lease:
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
            lexicon=described(grounder.lexicon),
        )
        try:
            counts = _ground_all(tables, storage, output, grounder, settings, stop, on_progress)
            record.add(concepts_in_step=True)
            tables.finish(settings.compact, kept_versions(storage, output, settings.keep_versions), stop.is_set)
        except Exception as error:
            ours = error if isinstance(error, CraftRayError) else RunError(f"grounding failed: {explain(error)}")
            record.close(ours.status, {}, [], tables.versions(), str(ours))
            raise ours from error
        status = "complete" if counts["files"] else "nothing_new"
        summary: dict[str, Any] = {
            "run_id": run_id,
            "status": status,
            **counts,
            "lexicon": described(grounder.lexicon),
        }
        record.add(grounding=counts)
        record.close(status, {}, [], tables.versions())
    return summary


def _model_of(storage: Storage, output: str) -> dict[str, Any]:
    """The model that last annotated an output, as run records have it."""
    models = (record["model"] for record in read_records(storage, output) if record.get("model"))
    return next(models, {"source": "", "fingerprint": "", "labels": {}})


def _ground_all(
    tables: Tables,
    storage: Storage,
    output: str,
    grounder: Grounder,
    settings: Settings,
    stop: Any,
    on_progress: Callable[[int, int], None],
) -> dict[str, int]:
    """Write all new files, and commit them."""
    files = tables.entity_files()
    mark = grounder.lexicon.fingerprint[:FINGERPRINT_LENGTH]
    parts = list(_parts(files))
    written: list[DataFile] = []
    with ExitStack() as connection:
        if len(parts) >= RAY_FROM:
            connection.enter_context(ray_session(settings))
            stop.listen()
        for new in _grounded_parts(parts, storage, output, grounder, len(parts) >= RAY_FROM):
            written += new
            on_progress(len(written), len(files))
            if stop.is_set():
                raise StoppedError("stopped by a signal; the same command goes on from the files that are done")
    new = [file for file in written if file.path.rpartition("/")[2].startswith(f"ground-{mark}")]
    old = {file.path for file in files}
    changed = [file for file in new if file.path not in old]
    if changed:
        tables.replace_entity_files(written)
    write_concepts(tables, grounder.lexicon)
    return {"files": len(changed), "entities": sum(file.rows for file in written)}


def _parts(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    """Files in groups of about ROWS_AT_ONCE rows, those of the same documents near each other."""
    part: list[DataFile] = []
    for file in sorted(files, key=lambda file: (file.first_id or "", file.path)):
        if part and sum(f.rows for f in part) + file.rows > ROWS_AT_ONCE:
            yield part
            part = []
        part.append(file)
    if part:
        yield part


def _grounded_parts(
    parts: Sequence[list[DataFile]], storage: Storage, output: str, grounder: Grounder, with_ray: bool
) -> Iterator[list[DataFile]]:
    """The new files of each part, as they come."""
    if not with_ray:
        for part in parts:
            yield ground_files(part, storage, output, grounder)
        return
    shared = ray.put(grounder)
    task = ray.remote(ground_files).options(max_retries=2)
    waiting = [task.remote(part, storage, output, shared) for part in parts]
    while waiting:
        done, waiting = ray.wait(waiting, num_returns=1, timeout=None)
        yield ray.get(done[0])


def ground_files(files: Sequence[DataFile], storage: Storage, output: str, grounder: Grounder) -> list[DataFile]:
    """Write a new file for each file of `entities`, or find it written; gives the new ones."""
    folder = join(output, "entities")
    mark = grounder.lexicon.fingerprint[:FINGERPRINT_LENGTH]
    rows = {file.path: _read(storage, folder, file) for file in files if not _is_done(file, mark)}
    ids = sorted({doc_id for table in rows.values() for doc_id in pc.unique(table["doc_id"]).to_pylist()})
    texts = texts_of(storage, output, ids) if ids else {}
    return [
        _write(storage, folder, file, mark, rows[file.path], grounder, texts) if file.path in rows else file
        for file in files
    ]


def _is_done(file: DataFile, mark: str) -> bool:
    return file.path.rpartition("/")[2].startswith(f"ground-{mark}-")


def _read(storage: Storage, folder: str, file: DataFile) -> pa.Table:
    with storage.open(join(folder, file.path)) as stream:
        return pq.read_table(stream)


def _write(
    storage: Storage,
    folder: str,
    file: DataFile,
    mark: str,
    rows: pa.Table,
    grounder: Grounder,
    texts: dict[str, str | None],
) -> DataFile:
    """The grounded rows of a file under the name that they have for this lexicon."""
    name = hashlib.blake2b(file.path.encode(), digest_size=12).hexdigest()
    path = f"{partition_folder(file.partition)}ground-{mark}-{name}.parquet"
    url = join(folder, path)
    if (size := storage.size(url)) is None:
        documents = pc.dictionary_encode(rows["doc_id"].combine_chunks().cast(pa.string()))
        row = documents.indices.to_numpy().astype(np.int64)
        label = pa.repeat(pa.scalar(file.partition[LABEL], pa.string()), rows.num_rows)
        asked = pa.table({"label": label, "mention": rows["mention"].cast(pa.string()), "row": row})
        found = grounder.add_concepts(asked, [texts.get(doc_id) for doc_id in documents.dictionary.to_pylist()])
        kept = [name for name in rows.schema.names if name not in CONCEPT_COLUMNS]
        grounded = rows.select(kept)
        for column in CONCEPT_COLUMNS:
            grounded = grounded.append_column(column, found[column])
        sink = io.BytesIO()
        pq.write_table(grounded, sink, compression="zstd")
        storage.write_bytes(url, sink.getvalue())
        size = sink.tell()
    return DataFile(path, size, file.rows, file.first_id, file.last_id, file.partition)
