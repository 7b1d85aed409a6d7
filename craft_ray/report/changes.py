"""Changes between two states of an output: documents by kind of change, entities by label and cause, and mentions.

Only files that are not in both states are read. Rows that a compaction moved are in both sets of files and cancel out.
"""

from collections.abc import Sequence
from typing import Any

import duckdb

from craft_ray.core.errors import SettingsError
from craft_ray.storage.failures import describe
from craft_ray.tables.database import database
from craft_ray.tables.output import Output

KINDS = {
    "added": "newly annotated",
    "revised": "annotated again, content changed",
    "reannotated": "annotated again by another model, content unchanged",
    "mended": "annotated, rejected before",
    "deleted": "withdrawn by their publisher",
    "deleted_unseen": "withdrawn before they were seen",
    "rejected": "newly rejected",
    "removed": "entries of bad records or shards that have become readable",
    "vanished": "removed by --prune because no file has them any more, or by hand",
}
"""Kinds of change of a document, and how the report explains them."""

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


def compare(before: Output, after: Output, top: int = 10) -> dict[str, Any]:
    """All changes between two states of an output, ready for JSON.

    top: mentions and concepts that gained and lost most, and examples of documents of each kind, to list

    Raises SettingsError if files of the earlier state are gone.
    """
    changed_files = {
        "documents_before": before.documents.files_not_in(after.documents),
        "documents_after": after.documents.files_not_in(before.documents),
        "entities_before": before.entities.files_not_in(after.entities),
        "entities_after": after.entities.files_not_in(before.entities),
    }
    with database(**changed_files) as connection:
        try:
            for query in (_DOCUMENTS, _ENTITIES, _CONCEPTS):
                connection.execute(query)
        except (duckdb.Error, OSError) as error:
            raise SettingsError(
                f"cannot read version {before.versions['documents']} of the tables ({describe(error)}): earlier states "
                "are kept where runs have `keep_versions` (--keep-versions)"
            ) from error
        return {
            "from": {"run_id": before.run_id, "versions": dict(before.versions)},
            "to": {"run_id": after.run_id, "versions": dict(after.versions)},
            "documents": _documents(connection, before, after, top),
            "entities": _entities(connection, before, after),
            "mentions": _most_changed(connection, ("label", "mention"), "moved", top),
            "concepts": _most_changed(connection, ("label", "concept_id", "concept"), "meant", top),
        }


def _documents(connection: duckdb.DuckDBPyConnection, before: Output, after: Output, top: int) -> dict[str, Any]:
    counts = dict(connection.execute("SELECT kind, count(*) FROM changed GROUP BY kind").fetchall())
    examples = dict(
        connection.execute("SELECT kind, min(doc_id, ?) FROM changed GROUP BY kind", [top]).fetchall() if top else []
    )
    return {
        "before": len(before.documents),
        "after": len(after.documents),
        **{kind: counts.get(kind, 0) for kind in KINDS},
        "examples": {kind: examples[kind] for kind in KINDS if kind in examples},
    }


def _entities(connection: duckdb.DuckDBPyConnection, before: Output, after: Output) -> dict[str, Any]:
    """Entities of each label before and after, and the difference by the change of their documents."""
    older, newer = before.entities.rows_by_label(), after.entities.rows_by_label()
    causes: dict[str, dict[str, int]] = {}
    query = "SELECT label, kind, sum(change) FROM moved GROUP BY ALL HAVING sum(change) <> 0 ORDER BY ALL"
    for label, kind, change in connection.execute(query).fetchall():
        causes.setdefault(label, {})[kind] = int(change)
    return {
        label: {"before": older.get(label, 0), "after": newer.get(label, 0), "by_cause": causes.get(label, {})}
        for label in sorted({*older, *newer})
    }


def _most_changed(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[str], table: str, top: int
) -> dict[str, list[dict[str, Any]]]:
    """Mentions or concepts that gained most and those that lost most, with the `change` of each."""
    names = ", ".join(columns)
    found = {}
    for side, sign, order in (("gained", ">", "DESC"), ("lost", "<", "ASC")):
        rows = connection.execute(
            f"SELECT {names}, sum(change)::BIGINT AS change FROM {table} GROUP BY {names} HAVING sum(change) {sign} 0 "
            f"ORDER BY change {order}, {names} LIMIT ?",
            [top],
        ).fetchall()
        found[side] = [dict(zip((*columns, "change"), row, strict=True)) for row in rows]
    return found
