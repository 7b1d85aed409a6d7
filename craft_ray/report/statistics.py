"""The numbers of a report: questions to a database with views `entities` and `documents`, answered in small tables.

`entities` may be a sample; a table `weights` (label, weight) tells how many rows each of its rows stands for.
"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

BINS = 20
"""Bars of a score distribution."""

_DASHES = " -\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}\N{NO-BREAK SPACE}"

_CELLS = f"""
    CREATE OR REPLACE TEMP TABLE cells AS
    SELECT label, split_part(section, '/', 1) AS top,
        CASE WHEN section LIKE 'body/%' THEN split_part(section, '/', 2) END AS below,
        least(floor(score * {BINS}), {BINS} - 1)::TINYINT AS bin, count(*) AS n, sum(score) AS expected
    FROM entities GROUP BY ALL
"""

_NUMBERING = "^([0-9]+([.][0-9]+)*[.)]?|[ivx]+[.)]) +"
"""Before titles of sections: `2. `, `II. `."""

_SECTIONS = f"""
    WITH named AS (
        SELECT label, n * weight AS n,
            top || coalesce('/' || nullif(trim(regexp_replace(lower(below), '{_NUMBERING}', '')), ''), '') AS section
        FROM cells JOIN weights USING (label)
    ),
    largest AS (SELECT section FROM named GROUP BY section ORDER BY sum(n) DESC, section LIMIT $limit)
    SELECT CASE WHEN section IN (FROM largest) THEN section WHEN section LIKE 'body/%' THEN 'body, other'
        ELSE 'other' END AS section, label, round(sum(n))::BIGINT AS entities
    FROM named GROUP BY ALL ORDER BY ALL
"""

_SCORES = f"""
    SELECT label, bin / {BINS}::DOUBLE AS score, round(sum(n * weight))::BIGINT AS entities
    FROM cells JOIN weights USING (label) GROUP BY ALL ORDER BY ALL
"""

_EXPECTED = f"""
    WITH bins AS (
        SELECT bin, sum(n * weight) AS n, sum(expected * weight) AS expected FROM cells JOIN weights USING (label)
        GROUP BY bin
    )
    SELECT step / {BINS}::DOUBLE AS score, round(sum(n))::BIGINT AS entities, round(sum(expected))::BIGINT AS expected
    FROM (SELECT unnest(range({BINS})) AS step) JOIN bins ON bin >= step GROUP BY step ORDER BY step
"""

_GROUNDED = """
    SELECT label, round(sum(weight))::BIGINT AS mentions,
        round(sum(weight) FILTER (concept_id IS NOT NULL))::BIGINT AS with_id
    FROM entities JOIN weights USING (label) GROUP BY label ORDER BY label
"""

_CONCEPTS = """
    WITH spelt AS (
        SELECT label, concept_id, any_value(concept_name) AS concept, mention, sum(weight) AS n
        FROM entities JOIN weights USING (label) WHERE concept_id IS NOT NULL GROUP BY label, concept_id, mention
    )
    SELECT label, concept_id, any_value(concept) AS concept, round(sum(n))::BIGINT AS mentions,
        list(mention ORDER BY n DESC, mention)[1:$listed] AS spelled
    FROM spelt GROUP BY label, concept_id
    QUALIFY row_number() OVER (PARTITION BY label ORDER BY sum(n) DESC, concept_id) <= $each
    ORDER BY label, mentions DESC, concept_id
"""

_DOUBTFUL = """
    SELECT label, mention, round(n * weight)::BIGINT AS mentions, expected / n AS score,
        round((n - expected) * weight)::BIGINT AS wrong
    FROM forms JOIN weights USING (label) WHERE n - expected >= 0.5
    ORDER BY (n - expected) * weight DESC, label, mention LIMIT $limit
"""

_FORMS = """
    CREATE OR REPLACE TEMP TABLE forms AS
    SELECT label, mention, count(*) AS n, sum(score) AS expected FROM entities GROUP BY ALL
"""

_MENTIONS = """
    WITH keyed AS (
        SELECT label, mention, n, coalesce(nullif(translate(lower(mention), $dashes, ''), ''), mention) AS form
        FROM forms
    ),
    top AS (
        SELECT label, form, sum(n) AS total FROM keyed GROUP BY label, form
        QUALIFY row_number() OVER (PARTITION BY label ORDER BY sum(n) DESC, form) <= $each
    )
    SELECT label, form, round(any_value(total * weight))::BIGINT AS mentions, count(*) AS variants,
        list({'mention': mention, 'mentions': round(n * weight)::BIGINT} ORDER BY n DESC, mention)[1:$listed] AS spelled
    FROM keyed JOIN top USING (label, form) JOIN weights USING (label)
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

_BY_RUN = "SELECT run_id, count(*) AS documents FROM documents WHERE status = 'annotated' GROUP BY run_id"

_REJECTED = """
    SELECT reason, doc_id, left(detail, 300) AS detail, shard FROM (
        SELECT *, row_number() OVER (PARTITION BY reason ORDER BY doc_id) AS place
        FROM (SELECT reason, doc_id, detail, shard, status FROM documents WHERE status = 'rejected')
        WHERE NOT suffix(doc_id, $mark)
    ) WHERE place <= $each ORDER BY reason, place
"""

_BROKEN = """
    SELECT left(doc_id, -length($mark)) AS shard, reason, left(detail, 300) AS detail
    FROM (SELECT doc_id, reason, detail, status FROM documents WHERE status = 'rejected')
    WHERE suffix(doc_id, $mark) ORDER BY shard
"""


def weigh(connection: duckdb.DuckDBPyConnection, weights: Mapping[str, float]) -> None:
    """Set the number of rows of its label that each entity stands for."""
    columns = {"label": pa.array(weights.keys(), pa.string()), "weight": pa.array(weights.values(), pa.float64())}
    connection.register("weights", pa.table(columns))


def statuses(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The account of documents; columns status, reason, documents, entities, tokens, empty."""
    return connection.sql(_STATUSES).to_arrow_table()


def years(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Annotated documents and their entities by year; columns year (null where there is none), documents, entities."""
    return connection.sql(_YEARS).to_arrow_table()


def by_run(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Annotated documents by the run that annotated them, the run of most first."""
    found = connection.execute(f"{_BY_RUN} ORDER BY documents DESC, run_id").fetchall()
    return {str(run_id): int(documents) for run_id, documents in found}


def count_cells(connection: duckdb.DuckDBPyConnection) -> None:
    """One pass over the entities from which `sections` and `scores` follow."""
    connection.execute(_CELLS)


def sections(connection: duckdb.DuckDBPyConnection, limit: int = 12) -> pa.Table:
    """Entities by top-level section and label; of a body, by its parts. Columns section, label, entities.

    limit: sections that are named; the rest are one
    """
    return connection.sql(_SECTIONS, params={"limit": limit}).to_arrow_table()


def scores(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Entities by label and score, from `score` up to 1 / BINS more; columns label, score, entities."""
    return connection.sql(_SCORES).to_arrow_table()


def expected(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Entities of at least a score, and how many of them are right by their scores; columns score, entities, expected.

    A calibrated score is the probability that a mention is right, so their sum is the number expected to be right.
    """
    return connection.sql(_EXPECTED).to_arrow_table()


def doubtful(connection: duckdb.DuckDBPyConnection, limit: int = 20) -> pa.Table:
    """Mentions that are expected to be wrong most often; columns label, mention, mentions, score (the mean), wrong.

    Uses the counts that `mentions` makes.
    """
    return connection.sql(_DOUBTFUL, params={"limit": limit}).to_arrow_table()


def mentions(connection: duckdb.DuckDBPyConnection, each: int = 15, listed: int = 6) -> pa.Table:
    """The most frequent mentions of each label; columns label, form, mentions, variants, spelled.

    Mentions that differ in case, hyphens and spaces alone are variants of one form. `spelled` lists the most frequent
    of them with their counts.
    """
    connection.execute(_FORMS)
    wanted = {"dashes": _DASHES, "each": each, "listed": listed}
    return connection.sql(_MENTIONS, params=wanted).to_arrow_table()


def grounded(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Mentions of each label and those that have a concept; columns label, mentions, with_id.

    Empty for tables of earlier versions, which have no concepts.
    """
    if "concept_id" not in connection.table("entities").columns:
        return pa.table({"label": [], "mentions": [], "with_id": []})
    return connection.sql(_GROUNDED).to_arrow_table()


def concepts(connection: duckdb.DuckDBPyConnection, each: int = 10, listed: int = 6) -> pa.Table:
    """The most frequent concepts of each label; columns label, concept_id, concept, mentions, spelled.

    Empty for tables of earlier versions.
    """
    if "concept_id" not in connection.table("entities").columns:
        return pa.table({"label": [], "concept_id": [], "concept": [], "mentions": [], "spelled": []})
    return connection.sql(_CONCEPTS, params={"each": each, "listed": listed}).to_arrow_table()


def rejected(connection: duckdb.DuckDBPyConnection, mark: str, each: int = 5) -> pa.Table:
    """The first rejected documents of each reason; columns reason, doc_id, detail, shard. mark: as in `broken`"""
    return connection.sql(_REJECTED, params={"mark": mark, "each": each}).to_arrow_table()


def broken(connection: duckdb.DuckDBPyConnection, mark: str) -> pa.Table:
    """Shards that could not be read to their end; columns shard, reason, detail.

    mark: how the ids of the rows end that stand for what such shards did not give
    """
    return connection.sql(_BROKEN, params={"mark": mark}).to_arrow_table()
