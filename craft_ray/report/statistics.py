"""The figures of a report, as SQL over the views `entities` and `documents`."""

import duckdb
import pyarrow as pa

BINS = 20
"""Bars of a score distribution."""

_HYPHENS_AND_SPACES = (
    " -\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}\N{NO-BREAK SPACE}"
)

_CELLS = f"""
    CREATE OR REPLACE TEMP TABLE cells AS
    SELECT label, split_part(section, '/', 1) AS top,
        CASE WHEN section LIKE 'body/%' THEN split_part(section, '/', 2) END AS below,
        least(floor(score * {BINS}), {BINS} - 1)::TINYINT AS bin,
        count(*) * $weight AS n, sum(score) * $weight AS expected
    FROM entities GROUP BY ALL
"""

_FORMS = """
    CREATE OR REPLACE TEMP TABLE forms AS
    SELECT label, mention, concept_id, any_value(concept_name) AS concept,
        count(*) * $weight AS n, sum(score) * $weight AS expected
    FROM entities GROUP BY label, mention, concept_id
"""

_NUMBERING = "^([0-9]+([.][0-9]+)*[.)]?|[ivx]+[.)]) +"
"""Numbers in front of section titles: `2. `, `II. `."""

_SECTIONS = f"""
    WITH named AS (
        SELECT label, n,
            top || coalesce('/' || nullif(trim(regexp_replace(lower(below), '{_NUMBERING}', '')), ''), '') AS section
        FROM cells
    ),
    largest AS (SELECT section FROM named GROUP BY section ORDER BY sum(n) DESC, section LIMIT $limit)
    SELECT CASE WHEN section IN (FROM largest) THEN section WHEN section LIKE 'body/%' THEN 'body, other'
        ELSE 'other' END AS section, label, round(sum(n))::BIGINT AS entities
    FROM named GROUP BY ALL ORDER BY ALL
"""

_SCORES = f"""
    SELECT label, bin / {BINS}::DOUBLE AS score, round(sum(n))::BIGINT AS entities
    FROM cells GROUP BY ALL ORDER BY ALL
"""

_EXPECTED = f"""
    WITH bins AS (SELECT bin, sum(n) AS n, sum(expected) AS expected FROM cells GROUP BY bin)
    SELECT step / {BINS}::DOUBLE AS score, round(sum(n))::BIGINT AS entities, round(sum(expected))::BIGINT AS expected
    FROM (SELECT unnest(range({BINS})) AS step) JOIN bins ON bin >= step GROUP BY step ORDER BY step
"""

_GROUNDED = """
    SELECT label, round(sum(n))::BIGINT AS mentions,
        round(sum(n) FILTER (concept_id IS NOT NULL))::BIGINT AS with_id
    FROM forms GROUP BY label ORDER BY label
"""

_CONCEPTS = """
    SELECT label, concept_id, any_value(concept) AS concept, round(sum(n))::BIGINT AS mentions,
        list(mention ORDER BY n DESC, mention)[1:$listed] AS spelled
    FROM forms WHERE concept_id IS NOT NULL GROUP BY label, concept_id
    QUALIFY row_number() OVER (PARTITION BY label ORDER BY sum(n) DESC, concept_id) <= $each
    ORDER BY label, mentions DESC, concept_id
"""

_DOUBTFUL = """
    SELECT label, mention, round(sum(n))::BIGINT AS mentions, sum(expected) / sum(n) AS score,
        round(sum(n) - sum(expected))::BIGINT AS wrong
    FROM forms GROUP BY label, mention HAVING sum(n) - sum(expected) >= 0.5
    ORDER BY sum(n) - sum(expected) DESC, label, mention LIMIT $limit
"""

_MENTIONS = """
    WITH spelt AS (SELECT label, mention, sum(n) AS n FROM forms GROUP BY label, mention),
    keyed AS (
        SELECT label, mention, n, coalesce(nullif(translate(lower(mention), $ignored, ''), ''), mention) AS form
        FROM spelt
    ),
    top AS (
        SELECT label, form, sum(n) AS total FROM keyed GROUP BY label, form
        QUALIFY row_number() OVER (PARTITION BY label ORDER BY sum(n) DESC, form) <= $each
    )
    SELECT label, form, round(any_value(total))::BIGINT AS mentions, count(*) AS variants,
        list({'mention': mention, 'mentions': round(n)::BIGINT} ORDER BY n DESC, mention)[1:$listed] AS spelled
    FROM keyed JOIN top USING (label, form)
    GROUP BY label, form ORDER BY label, mentions DESC, form
"""

_STATUSES = """
    SELECT status, reason, count(*) AS documents, coalesce(sum(n_entities), 0)::BIGINT AS entities,
        coalesce(sum(n_tokens), 0)::BIGINT AS tokens,
        count(*) FILTER (status = 'annotated' AND n_entities = 0) AS empty
    FROM documents GROUP BY ALL ORDER BY ALL
"""

_YEARS = """
    SELECT year, count(*) AS documents, sum(n_entities)::BIGINT AS entities
    FROM documents WHERE status = 'annotated' GROUP BY year ORDER BY year
"""

_BY_RUN = """
    SELECT run_id, count(*) AS documents FROM documents WHERE status = 'annotated'
    GROUP BY run_id ORDER BY documents DESC, run_id
"""

_REJECTED = """
    SELECT reason, doc_id, left(detail, 300) AS detail, shard FROM (
        SELECT *, row_number() OVER (PARTITION BY reason ORDER BY doc_id) AS position
        FROM (SELECT reason, doc_id, detail, shard, status FROM documents WHERE status = 'rejected')
        WHERE NOT suffix(doc_id, $mark)
    ) WHERE position <= $each ORDER BY reason, position
"""

_BROKEN = """
    SELECT left(doc_id, -length($mark)) AS shard, reason, left(detail, 300) AS detail
    FROM (SELECT doc_id, reason, detail, status FROM documents WHERE status = 'rejected')
    WHERE suffix(doc_id, $mark) ORDER BY shard
"""


def count_entities(connection: duckdb.DuckDBPyConnection, weight: float = 1.0) -> None:
    """Create the temporary tables `cells` (by section and score) and `forms` (by mention), which other figures query.

    weight: number of entities that each row of `entities` stands for
    """
    for query in (_CELLS, _FORMS):
        connection.execute(query, {"weight": weight})


def statuses(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Columns status, reason, documents, entities, tokens, empty (annotated documents without entities)."""
    return connection.sql(_STATUSES).to_arrow_table()


def years(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Annotated documents by year. Columns year (null if unknown), documents, entities."""
    return connection.sql(_YEARS).to_arrow_table()


def by_run(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Number of annotated documents by run, largest first."""
    return {str(run_id): int(documents) for run_id, documents in connection.execute(_BY_RUN).fetchall()}


def sections(connection: duckdb.DuckDBPyConnection, limit: int = 12) -> pa.Table:
    """Entities by top-level section, or part of the body, and label. Columns section, label, entities.

    limit: sections to name; the rest are summed up
    """
    return connection.sql(_SECTIONS, params={"limit": limit}).to_arrow_table()


def scores(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Histogram of scores by label. Columns label, score (lower end of a bin of width 1 / BINS), entities."""
    return connection.sql(_SCORES).to_arrow_table()


def expected(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Number of entities with at least some score, and how many of them are expected to be right.

    A calibrated score is the probability of being right, so the expected number is the sum of scores. Columns score,
    entities, expected.
    """
    return connection.sql(_EXPECTED).to_arrow_table()


def doubtful(connection: duckdb.DuckDBPyConnection, limit: int = 20) -> pa.Table:
    """Mentions that are expected to be wrong most often. Columns label, mention, mentions, score (the mean), wrong."""
    return connection.sql(_DOUBTFUL, params={"limit": limit}).to_arrow_table()


def mentions(connection: duckdb.DuckDBPyConnection, each: int = 15, listed: int = 6) -> pa.Table:
    """The most frequent mentions of each label. Columns label, form, mentions, variants, spelled.

    Mentions that differ only in case, hyphens and spaces are variants of one form. `spelled` lists the most frequent
    variants with their counts.
    """
    params = {"ignored": _HYPHENS_AND_SPACES, "each": each, "listed": listed}
    return connection.sql(_MENTIONS, params=params).to_arrow_table()


def grounded(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Columns label, mentions, with_id (mentions that have a concept)."""
    return connection.sql(_GROUNDED).to_arrow_table()


def concepts(connection: duckdb.DuckDBPyConnection, each: int = 10, listed: int = 6) -> pa.Table:
    """The most frequent concepts of each label. Columns label, concept_id, concept, mentions, spelled."""
    return connection.sql(_CONCEPTS, params={"each": each, "listed": listed}).to_arrow_table()


def rejected(connection: duckdb.DuckDBPyConnection, mark: str, each: int = 5) -> pa.Table:
    """The first rejected documents of each reason. Columns reason, doc_id, detail, shard.

    mark: end of the ids of rows that stand for the unreadable rest of a shard; these are left to `broken`
    """
    return connection.sql(_REJECTED, params={"mark": mark, "each": each}).to_arrow_table()


def broken(connection: duckdb.DuckDBPyConnection, mark: str) -> pa.Table:
    """Shards that could not be read to the end. Columns shard, reason, detail."""
    return connection.sql(_BROKEN, params={"mark": mark}).to_arrow_table()
