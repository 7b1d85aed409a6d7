"""Check an output against what it promises, without trusting any account, and without writing anything.

The checks go from the outside in: logs, files, then rows. Each looks at all it names, unless it says that it samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from craft_ray.core.errors import CraftRayError
from craft_ray.storage.addresses import join
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from craft_ray.tables.files import data_files, paths_of
from craft_ray.tables.lease import lease_holder
from craft_ray.tables.numbers import pair_of
from craft_ray.tables.output import TABLES, Output, open_output, table_exists
from craft_ray.tables.records import kept_versions
from craft_ray.tables.snapshots import open_table
from craft_ray.tables.version import id_hasher

MAX_EXAMPLES = 10
"""Faults of a check that are described; of the others it gives the number."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    claim:    what holds if there are no faults
    checked:  number of things that were looked at
    examples: the first faults
    """

    claim: str
    checked: int
    faults: int = 0
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, claim: str, checked: int, faults: Sequence[str]) -> "Check":
        return cls(claim, checked, len(faults), tuple(faults[:MAX_EXAMPLES]))


def verify(storage: Storage, location: str, documents: int | None = None) -> Iterator[Check]:
    """Yield the result of each check of an output.

    location:  absolute folder or s3:// address
    documents: about how many documents to check the offsets of, by default all

    Rows are checked only if the files of their tables can be read.
    """
    names = [name for name in TABLES if table_exists(storage, location, name)]
    broken = False
    for name in names:
        for check in (_check_log(storage, location, name), _check_files(storage, location, name)):
            broken |= check.faults > 0
            yield check
    if broken:
        return
    yield _check_pairs(storage, location, "shards" in names)
    if lease_holder(storage, location) is None:
        yield _check_strays(storage, location, names)
    output = open_output(storage, location)
    yield _check_duplicates(storage, location, output)
    with output.connect() as connection:
        for claim, checked, query in _row_checks(output, documents):
            yield _check_rows(connection, claim, checked, query)


def _check_log(storage: Storage, location: str, name: str) -> Check:
    """The log holds every commit from its oldest to its newest, none of them empty."""
    entries = storage.entries(join(location, name, "_delta_log"))
    sizes = {entry.name.rpartition("/")[2]: entry.size for entry in entries}
    commits = sorted(int(file[:-5]) for file in sizes if file.endswith(".json") and file[:-5].isdecimal())
    faults = [f"{file} is empty" for file, size in sorted(sizes.items()) if size == 0]
    missing = sorted({*range(commits[0], commits[-1])} - {*commits}) if commits else []
    faults += [f"commit {version} is missing" for version in missing]
    return Check.of(f"{name}: the log is complete", len(commits), faults)


def _check_files(storage: Storage, location: str, name: str) -> Check:
    """Every file that the log names exists with its size, and its footer has the number of rows that the log gives."""
    claim = f"{name}: files are as the log says"
    try:
        table = open_table(storage, location, name)
    except CraftRayError as error:
        return Check.of(claim, 0, [str(error)])
    sizes = data_files(storage, join(location, name))
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    faults = []
    for action in actions:
        path = unquote(action["path"])
        if sizes.get(path) != action["size_bytes"]:
            found = "missing" if path not in sizes else f"{sizes[path]} bytes long, not {action['size_bytes']}"
            faults.append(f"{path} is {found}")
        elif (fault := _footer_fault(storage, join(location, name, path), action["num_records"])) is not None:
            faults.append(f"{path} {fault}")
    return Check.of(claim, len(actions), faults)


def _footer_fault(storage: Storage, url: str, rows: int) -> str | None:
    try:
        with storage.open(url) as stream:
            found = pq.ParquetFile(stream).metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read: {describe(error)}"
    return None if found == rows else f"has {found:,} rows, not {rows:,}"


def _check_pairs(storage: Storage, location: str, has_shards: bool) -> Check:
    """Finished shards may be older than the documents, and never newer."""
    names = ("entities", "documents", *["shards"] * has_shards)
    pairs = {name: pair_of(open_table(storage, location, name)) for name in names}
    sound = pairs["entities"] == pairs["documents"] >= pairs.get("shards", 0)
    faults = [] if sound else [f"the last pairs of commits are {pairs}"]
    return Check.of("entities and documents are from the same commit, shards from no later one", len(pairs), faults)


def _check_duplicates(storage: Storage, location: str, output: Output) -> Check:
    """Documents that a finished shard has found in the tables, known by the hash of their ids, are still there."""
    claim = "shards: the documents that others had given before are there"
    table = output.shards.dataset.to_table(["shard", "duplicates"], filter=pc.field("duplicates").is_valid())
    wanted = pc.list_flatten(table["duplicates"]).to_numpy()
    if not len(wanted):
        return Check.of(claim, 0, [])
    ids = id_hasher(open_table(storage, location, "documents"))
    found = [ids.hashes(batch["doc_id"].to_pylist()) for batch in output.documents.dataset.to_batches(["doc_id"])]
    missing = ~np.isin(wanted, np.concatenate([np.empty(0, np.int64), *found]))
    shards = pc.list_parent_indices(table["duplicates"].combine_chunks()).to_numpy()[missing]
    faults = [f"{table['shard'][row]}: a document is missing" for row in shards.tolist()]
    return Check.of(claim, len(wanted), faults)


def _check_strays(storage: Storage, location: str, names: Sequence[str]) -> Check:
    """No Parquet file beside those of the tables and of the earlier versions that are kept. Only at rest."""
    kept = kept_versions(storage, location, None)
    found, strays = 0, []
    for name in names:
        referenced: set[str] = set()
        for version in (None, *(versions[name] for versions in kept if name in versions)):
            try:
                table = open_table(storage, location, name, version)
            except CraftRayError:  # its log has been cleaned up, and so is it no longer kept
                continue
            referenced |= paths_of(table)
        files = data_files(storage, join(location, name))
        found += len(files)
        strays += [f"{name}/{path}" for path in sorted(files.keys() - referenced)]
    return Check.of("no file is beside the tables", found, strays)


def _row_checks(output: Output, documents: int | None) -> Iterator[tuple[str, int, str]]:
    """Claims about rows: the claim, the number of rows that it is about, and a query of the rows that break it."""
    entities, rows, shards = len(output.entities), len(output.documents), len(output.shards)
    yield "documents: no id twice", rows, "SELECT doc_id FROM documents GROUP BY doc_id HAVING count(*) > 1"
    yield (
        "documents: each has as many entities as it says",
        rows,
        "SELECT concat(doc_id, ': n_entities is ', n_entities, ', and it has ', coalesce(n, 0)) FROM documents "
        "LEFT JOIN (SELECT doc_id, count(*) AS n FROM entities GROUP BY doc_id) USING (doc_id) "
        "WHERE n_entities IS DISTINCT FROM coalesce(n, 0)",
    )
    yield (
        "entities: each is of a document",
        entities,
        "SELECT DISTINCT doc_id FROM entities ANTI JOIN documents USING (doc_id)",
    )
    if documents is None or documents >= rows:
        sample, checked, claim = "", entities, "entities: offsets reproduce the mention"
    else:
        sample = f"AND hash(doc_id) % {rows} < {documents}"
        checked, claim = round(entities * documents / rows), "entities: offsets reproduce the mention (a sample)"
    yield (
        claim,
        checked,
        "SELECT doc_id || ' ' || start || ':' || \"end\" || ' ' || mention FROM entities JOIN documents USING (doc_id) "
        f'WHERE text IS NOT NULL {sample} AND (substring(text, start + 1, "end" - start) <> mention '
        'OR NOT (sentence_start <= start AND start < "end" AND "end" <= sentence_end))',
    )
    yield (
        "entities: each concept is in `concepts`",
        entities,
        "SELECT DISTINCT concept_id FROM entities ANTI JOIN concepts ON concept_id = id WHERE concept_id IS NOT NULL",
    )
    yield (
        "entities: each gene is of NCBI Gene",
        entities,
        "SELECT DISTINCT gene_id FROM entities WHERE NOT regexp_full_match(gene_id, 'NCBIGene:[0-9]+')",
    )
    yield (
        "ancestors: each class is in `concepts`",
        len(output.ancestors),
        "SELECT DISTINCT ancestor FROM ancestors ANTI JOIN concepts ON ancestor = concepts.id",
    )
    yield (
        "xrefs: each is of a class in `concepts`",
        len(output.xrefs),
        "SELECT DISTINCT xrefs.id FROM xrefs ANTI JOIN concepts USING (id)",
    )
    yield "shards: none twice", shards, "SELECT shard FROM shards GROUP BY shard HAVING count(*) > 1"
    yield (
        "shards: found = emitted + unchanged + superseded",
        shards,
        "SELECT shard FROM shards WHERE found <> emitted + unchanged + superseded",
    )
    # What a shard gave to the tables is there, or was replaced by rows of the same run or of later ones.
    yield (
        "shards: the documents that they gave are there",
        shards,
        "WITH later AS (SELECT run_id, sum(count(*)) OVER (ORDER BY run_id DESC) AS rows FROM documents GROUP BY 1) "
        "SELECT shard || ': it gave ' || emitted || ' documents' FROM shards WHERE emitted > "
        "coalesce(len(duplicates), 0) + coalesce((SELECT max(rows) FROM later WHERE later.run_id >= shards.run_id), 0)",
    )


def _check_rows(connection: duckdb.DuckDBPyConnection, claim: str, checked: int, query: str) -> Check:
    counted = f"WITH faults(fault) AS ({query}) SELECT fault, count(*) OVER () FROM faults LIMIT {MAX_EXAMPLES}"
    try:
        rows = connection.execute(counted).fetchall()
    except (duckdb.Error, OSError) as error:
        return Check.of(claim, checked, [f"cannot be checked: {describe(error)}"])
    return Check(claim, checked, rows[0][1] if rows else 0, tuple(str(fault) for fault, _ in rows))
