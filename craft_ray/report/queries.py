"""The SQL of the commands `top`, `pairs`, `rejected` and `show`."""

from collections.abc import Sequence

import duckdb
import pyarrow as pa

_TOP = """
    SELECT label, mention, count(*) AS mentions, count(DISTINCT doc_id) AS documents, avg(score)::FLOAT AS score
    FROM entities
    WHERE ($labels = [] OR label IN (SELECT unnest($labels)))
    GROUP BY ALL ORDER BY {by} DESC, label, mention LIMIT $limit
"""

_BELOW = """
    SELECT id FROM ancestors WHERE ancestor IN (
        SELECT unnest($under) UNION SELECT id FROM xrefs WHERE xref IN (SELECT unnest($under))
    )
"""
"""The concepts that are one of some classes or below one; a cross-reference stands for its class."""

_TOP_CONCEPTS = """
    WITH wanted AS (
        SELECT label, concept_id, concept_name, concept_score, mention, doc_id FROM entities
        WHERE concept_id IS NOT NULL
            AND ($labels = [] OR label IN (SELECT unnest($labels)))
            AND ($under = [] OR concept_id IN ({below}))
    ),
    spelt AS (SELECT label, concept_id, mention, count(*) AS n FROM wanted GROUP BY ALL),
    spellings AS (
        SELECT label, concept_id, array_to_string(list(mention ORDER BY n DESC, mention)[1:3], ', ') AS spellings
        FROM spelt GROUP BY ALL
    )
    SELECT label, concept_id, any_value(concept_name) AS concept, count(*) AS mentions,
        count(DISTINCT doc_id) AS documents, avg(concept_score)::FLOAT AS score, any_value(spellings) AS spellings
    FROM wanted JOIN spellings USING (label, concept_id)
    GROUP BY label, concept_id ORDER BY {by} DESC, label, concept_id LIMIT $limit
"""

_BY_YEAR = """
    WITH top AS ({top}),
    ranked AS (SELECT *, row_number() OVER (ORDER BY mentions DESC, label, {key}) AS rank FROM top)
    SELECT label, {key}, {name} year, count(*) AS mentions, count(DISTINCT doc_id) AS documents
    FROM ranked JOIN (SELECT label, {key}, doc_id FROM entities) USING (label, {key})
    JOIN (SELECT doc_id, year FROM documents) USING (doc_id)
    GROUP BY rank, label, {key}, year ORDER BY rank, year
"""

_CONCEPT = "coalesce(concept_name || ' ', '') || concept_id"
"""Name and id of a concept, as `pairs` lists it."""

_CONCEPT_NAME = "any_value(concept) AS concept,"

_PAIRS = """
    WITH mentioned AS (
        SELECT DISTINCT {unit}, label, {key} AS mention FROM entities
        WHERE label IN ($first, $second) AND {key} IS NOT NULL
    ),
    units AS (SELECT count(*) AS n FROM (SELECT DISTINCT {unit} FROM entities)),
    single AS (SELECT label, mention, count(*) AS n FROM mentioned GROUP BY ALL),
    together AS (
        SELECT a.mention AS first, b.mention AS second, count(*) AS n, count(DISTINCT doc_id) AS documents
        FROM mentioned a JOIN mentioned b USING ({unit})
        WHERE a.label = $first AND b.label = $second AND ($first <> $second OR a.mention < b.mention)
        GROUP BY ALL HAVING count(*) >= $at_least
    )
    SELECT first, second, {counts} documents, (together.n * units.n / (a.n * b.n))::DOUBLE AS lift,
        CASE WHEN together.n = units.n THEN 1.0 ELSE ln(lift) / -ln(together.n / units.n) END::DOUBLE AS npmi
    FROM together, units
    JOIN single a ON a.label = $first AND a.mention = first
    JOIN single b ON b.label = $second AND b.mention = second
    ORDER BY {by} DESC, together.n DESC, first, second LIMIT $limit
"""

_UNITS = {"sentence": "doc_id, section, sentence_start", "document": "doc_id"}
"""What `pairs` counts."""


_REJECTED = """
    SELECT doc_id, reason, detail, shard FROM documents
    WHERE status = 'rejected' AND ($reason IS NULL OR reason = $reason) ORDER BY shard, doc_id LIMIT $limit
"""

_FIRST_DOCUMENTS = """
    SELECT max(doc_id) FROM (SELECT doc_id FROM documents WHERE n_entities > 0 ORDER BY doc_id LIMIT $limit)
"""

_FIRST_ENTITIES = """
    SELECT doc_id, section, label, mention, start, "end", score FROM entities WHERE doc_id <= $last
    ORDER BY doc_id, start, "end" LIMIT $limit
"""


def first_entities(connection: duckdb.DuckDBPyConnection, limit: int) -> pa.Table:
    """The first entities in order of documents and offsets, with the columns that `show` lists.

    The ids of the documents are looked up first, so that a table sorted by doc_id is read only in part.
    """
    (last,) = connection.execute(_FIRST_DOCUMENTS, {"limit": limit}).fetchall()[0]
    return connection.sql(_FIRST_ENTITIES, params={"last": last, "limit": limit}).to_arrow_table()


def rejected_documents(connection: duckdb.DuckDBPyConnection, reason: str | None = None, limit: int = 100) -> pa.Table:
    """Rejected documents, and the unreadable rest of broken shards. Columns doc_id, reason, detail, shard."""
    return connection.sql(_REJECTED, params={"reason": reason, "limit": limit}).to_arrow_table()


def nearest_document(connection: duckdb.DuckDBPyConnection, doc_id: str) -> str | None:
    """The most similar id, unless more than a third of its characters differ."""
    return _nearest(connection, "SELECT doc_id AS name FROM documents", doc_id)


def nearest_class(connection: duckdb.DuckDBPyConnection, id: str) -> str | None:
    """The most similar id of a concept or a class above one."""
    return _nearest(connection, "SELECT DISTINCT ancestor AS name FROM ancestors", id)


def _nearest(connection: duckdb.DuckDBPyConnection, names: str, name: str) -> str | None:
    nearest = f"SELECT name FROM ({names}) ORDER BY damerau_levenshtein(name, $wanted), name LIMIT 1"
    similar = f"SELECT name FROM ({nearest}) WHERE damerau_levenshtein(name, $wanted) <= length($wanted) / 3"
    found = connection.execute(similar, {"wanted": name}).fetchone()
    return None if found is None else str(found[0])


def top_mentions(
    connection: duckdb.DuckDBPyConnection, labels: Sequence[str] = (), by: str = "mentions", limit: int = 20
) -> pa.Table:
    """The most frequent mentions. Columns label, mention, mentions, documents, score (the mean).

    labels: all if empty
    by:     mentions or documents
    """
    params = {"labels": list(labels), "limit": limit}
    return connection.sql(_TOP.format(by=_one_of(by, "mentions", "documents")), params=params).to_arrow_table()


def unknown_classes(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[str]:
    """The classes that are neither a concept of the tables nor above one, by their own ids or by cross-references."""
    query = "SELECT unnest($ids) AS id EXCEPT SELECT ancestor FROM ancestors EXCEPT SELECT xref FROM xrefs ORDER BY id"
    return [row[0] for row in connection.execute(query, {"ids": list(ids)}).fetchall()]


def concepts_below(connection: duckdb.DuckDBPyConnection, classes: Sequence[str]) -> frozenset[str]:
    """The concepts that are one of some classes or below one, by their own ids or by cross-references."""
    return frozenset(row[0] for row in connection.execute(_BELOW, {"under": list(classes)}).fetchall())


def top_concepts(
    connection: duckdb.DuckDBPyConnection,
    labels: Sequence[str] = (),
    under: Sequence[str] = (),
    by: str = "mentions",
    limit: int = 20,
) -> pa.Table:
    """The most frequent concepts.

    Columns label, concept_id, concept, mentions, documents, score (the mean), spellings (the three most frequent).

    labels: all if empty
    under:  only concepts that are one of these classes or below one; all if empty. Cross-references stand for theirs
    by:     mentions or documents
    """
    params = {"labels": list(labels), "under": list(under), "limit": limit}
    query = _TOP_CONCEPTS.format(below=_BELOW, by=_one_of(by, "mentions", "documents"))
    return connection.sql(query, params=params).to_arrow_table()


def top_by_year(
    connection: duckdb.DuckDBPyConnection,
    labels: Sequence[str] = (),
    under: Sequence[str] = (),
    concepts: bool = False,
    limit: int = 20,
) -> pa.Table:
    """Mentions and documents in each year of the most frequent mentions, or of the most frequent concepts.

    Columns label, mention, year, mentions, documents; or label, concept_id, concept, year and so on. Documents without
    a year are a row with null.
    """
    top, key, name = (_TOP, "mention", "") if not concepts else (_TOP_CONCEPTS, "concept_id", _CONCEPT_NAME)
    params = {"labels": list(labels), "limit": limit} | ({"under": list(under)} if concepts else {})
    query = _BY_YEAR.format(top=top.format(by="mentions", below=_BELOW), key=key, name=name)
    return connection.sql(query, params=params).to_arrow_table()


def pairs(
    connection: duckdb.DuckDBPyConnection,
    first: str,
    second: str,
    by: str = "lift",
    at_least: int = 3,
    limit: int = 20,
    concepts: bool = False,
    within: str = "sentence",
) -> pa.Table:
    """Mentions of two labels that occur together. Columns first, second, sentences, documents, lift, npmi.

    The lift is n(a, b) n / (n(a) n(b)), where n counts sentences with any mention, since the tables have no others.
    Without a lower bound of n(a, b) the rarest mentions have the highest lift. npmi is the normalized pointwise mutual
    information, ln(lift) / -ln(n(a, b) / n): 0 for independent mentions and 1 for those that only occur together, so
    that neither rare nor frequent ones win.

    by:       lift, npmi, sentences or documents
    at_least: lower bound of n(a, b)
    concepts: count concepts, each by name and id, instead of mentions
    within:   sentence, or document: then n counts documents, and there is no column `sentences`
    """
    params = {"first": first, "second": second, "at_least": at_least, "limit": limit}
    query = _PAIRS.format(
        by=_one_of(by, "lift", "npmi", "documents", *(("sentences",) if within == "sentence" else ())),
        key=_CONCEPT if concepts else "mention",
        unit=_UNITS[within],
        counts="together.n AS sentences," if within == "sentence" else "",
    )
    return connection.sql(query, params=params).to_arrow_table()


def _one_of(value: str, *known: str) -> str:
    if value not in known:
        raise ValueError(value)
    return value
