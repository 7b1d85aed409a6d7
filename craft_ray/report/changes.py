"""The changes between two states: documents by outcome, entities by label and cause, and mentions.

Only files that one of the states does not have are read: rows that a compaction moved are in both, and cancel out.
"""

from typing import Any

import duckdb

from craft_ray.core.errors import SettingsError
from craft_ray.storage.failures import describe
from craft_ray.tables.database import database
from craft_ray.tables.snapshots import Snapshot

KINDS = {
    "added": "annotated, and were not there",
    "revised": "annotated again, their content has changed",
    "reannotated": "annotated again by another model, their content is the same",
    "mended": "annotated, and were rejected",
    "deleted": "withdrawn by their publisher",
    "deleted_unseen": "withdrawn before they were seen",
    "rejected": "rejected, and were not",
    "removed": "marks of bad records or shards that have become readable",
    "vanished": "removed by --prune, for no file has them any more; or the tables were changed by hand",
}
"""The changes that a document can undergo between two states."""

_DOCUMENTS = """
    CREATE TEMP TABLE changed AS
    SELECT * FROM (
        SELECT coalesce(a.doc_id, b.doc_id) AS doc_id,
            CASE
                WHEN a.doc_id IS NULL AND b.status = 'rejected' THEN 'removed'
                WHEN a.doc_id IS NULL THEN 'vanished'
                WHEN a.status = 'annotated' AND b.doc_id IS NULL THEN 'added'
                WHEN a.status = 'annotated' AND b.status <> 'annotated' THEN 'mended'
                WHEN a.status = 'annotated' AND a.content_hash <> b.content_hash THEN 'revised'
                WHEN a.status = 'annotated' AND a.key <> b.key THEN 'reannotated'
                WHEN a.status = 'deleted' AND b.doc_id IS NULL THEN 'deleted_unseen'
                WHEN a.status = 'deleted' AND b.status <> 'deleted' THEN 'deleted'
                WHEN a.status = 'rejected' AND b.status IS DISTINCT FROM 'rejected' THEN 'rejected'
            END AS kind
        FROM (SELECT doc_id, status, content_hash, key FROM documents_before) b
        FULL JOIN (SELECT doc_id, status, content_hash, key FROM documents_after) a USING (doc_id)
    ) WHERE kind IS NOT NULL
"""

_ENTITIES = """
    CREATE TEMP TABLE moved AS
    SELECT label, mention, coalesce(kind, 'unchanged') AS kind, sum(n) AS change
    FROM (
        SELECT doc_id, label, mention, -1 AS n FROM entities_before
        UNION ALL SELECT doc_id, label, mention, 1 FROM entities_after
    ) LEFT JOIN changed USING (doc_id)
    GROUP BY ALL HAVING change <> 0
"""


_CONCEPTS = """
    CREATE TEMP TABLE meant AS
    SELECT label, concept_id, any_value(concept_name) AS concept, sum(n) AS change
    FROM (
        SELECT label, concept_id, concept_name, -1 AS n FROM entities_before
        UNION ALL SELECT label, concept_id, concept_name, 1 FROM entities_after
    )
    WHERE concept_id IS NOT NULL GROUP BY label, concept_id HAVING change <> 0
"""


def compare(before: Snapshot, after: Snapshot, top: int = 10) -> dict[str, Any]:
    """The account of all that changed, as JSON has it.

    top: mentions that gained and lost most, and documents of each kind, to name

    Raises SettingsError if files of the earlier state are gone.
    """
    changed = {
        "documents_before": before.documents.files_not_in(after.documents),
        "documents_after": after.documents.files_not_in(before.documents),
        "entities_before": before.entities.files_not_in(after.entities),
        "entities_after": after.entities.files_not_in(before.entities),
    }
    with database(**changed) as connection:
        try:
            connection.execute(_DOCUMENTS)
            connection.execute(_ENTITIES)
        except (duckdb.Error, OSError) as error:
            raise SettingsError(
                f"cannot read version {before.versions['documents']} of the tables ({describe(error)}): earlier states "
                "are kept where runs have `keep_versions` (--keep-versions)"
            ) from error
        return {
            "from": _named(before),
            "to": _named(after),
            "documents": _documents(connection, before, after, top),
            "entities": _entities(connection, before, after),
            "mentions": {
                "gained": _mentions(connection, "> 0", "DESC", top),
                "lost": _mentions(connection, "< 0", "ASC", top),
            },
            "concepts": _concepts(connection, before, after, top),
        }


def _named(snapshot: Snapshot) -> dict[str, Any]:
    return {"run_id": snapshot.run_id, "versions": dict(snapshot.versions)}


def _documents(connection: duckdb.DuckDBPyConnection, before: Snapshot, after: Snapshot, top: int) -> dict[str, Any]:
    counts = dict(connection.execute("SELECT kind, count(*) FROM changed GROUP BY kind").fetchall())
    examples = dict(
        connection.execute("SELECT kind, min(doc_id, ?) FROM changed GROUP BY kind", [top]).fetchall() if top else []
    )
    return {
        "before": sum(before.documents.rows.values()),
        "after": sum(after.documents.rows.values()),
        **{kind: counts.get(kind, 0) for kind in KINDS},
        "examples": {kind: examples[kind] for kind in KINDS if kind in examples},
    }


def _entities(connection: duckdb.DuckDBPyConnection, before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Entities of each label, before and after, and the difference by what became of their documents."""
    older, newer = before.entities.rows_by_label(), after.entities.rows_by_label()
    causes: dict[str, dict[str, int]] = {}
    query = "SELECT label, kind, sum(change) FROM moved GROUP BY ALL HAVING sum(change) <> 0 ORDER BY ALL"
    for label, kind, change in connection.execute(query).fetchall():
        causes.setdefault(label, {})[kind] = int(change)
    return {
        label: {"before": older.get(label, 0), "after": newer.get(label, 0), "by_cause": causes.get(label, {})}
        for label in sorted({*older, *newer})
    }


def _concepts(
    connection: duckdb.DuckDBPyConnection, before: Snapshot, after: Snapshot, top: int
) -> dict[str, list[dict[str, Any]]]:
    """Concepts that gained and lost most mentions; none where a state has no columns for them."""
    if not all("concept_id" in state.entities.dataset.schema.names for state in (before, after)):
        return {"gained": [], "lost": []}
    connection.execute(_CONCEPTS)
    columns = ("label", "concept_id", "concept", "change")
    found = {}
    for name, which, order in (("gained", "> 0", "DESC"), ("lost", "< 0", "ASC")):
        query = f"SELECT label, concept_id, concept, change::BIGINT FROM meant WHERE change {which} "
        rows = connection.execute(f"{query} ORDER BY change {order}, label, concept_id LIMIT ?", [top]).fetchall()
        found[name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found


def _mentions(connection: duckdb.DuckDBPyConnection, which: str, order: str, top: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        f"SELECT label, mention, sum(change) AS change FROM moved GROUP BY ALL HAVING change {which} "
        f"ORDER BY change {order}, label, mention LIMIT ?",
        [top],
    ).fetchall()
    return [{"label": label, "mention": mention, "change": int(change)} for label, mention, change in rows]
