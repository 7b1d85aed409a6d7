"""The figures of a report, as SQL over the views `entities` and `documents`."""

from collections.abc import Mapping, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import duckdb

from craft_ray.core.schema import UNREADABLE

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

FIGURES = {
    # empty: annotated documents without entities
    "statuses": """
        SELECT status, reason, count(*) AS documents, coalesce(sum(n_entities), 0)::BIGINT AS entities,
            coalesce(sum(n_tokens), 0)::BIGINT AS tokens,
            count(*) FILTER (status = 'annotated' AND n_entities = 0) AS empty
        FROM documents GROUP BY ALL ORDER BY ALL
    """,
    # annotated documents; the year is null if unknown
    "years": """
        SELECT year, count(*) AS documents, sum(n_entities)::BIGINT AS entities
        FROM documents WHERE status = 'annotated' GROUP BY year ORDER BY year
    """,
    # annotated documents, the run with most of them first
    "by_run": """
        SELECT run_id, count(*) AS documents FROM documents WHERE status = 'annotated'
        GROUP BY run_id ORDER BY documents DESC, run_id
    """,
    # the first documents of each reason; for ids that end in UNREADABLE see `broken`
    "rejected": """
        SELECT reason, doc_id, left(detail, 300) AS detail, shard FROM (
            SELECT *, row_number() OVER (PARTITION BY reason ORDER BY doc_id) AS position
            FROM (SELECT reason, doc_id, detail, shard, status FROM documents WHERE status = 'rejected')
            WHERE NOT suffix(doc_id, $mark)
        ) WHERE position <= $each ORDER BY reason, position
    """,
    # shards that could not be read to the end
    "broken": """
        SELECT left(doc_id, -length($mark)) AS shard, reason, left(detail, 300) AS detail
        FROM (SELECT doc_id, reason, detail, status FROM documents WHERE status = 'rejected')
        WHERE suffix(doc_id, $mark) ORDER BY shard
    """,
    # entities by top-level section, or part of the body, and label; small sections are summed up
    "sections": f"""
        WITH named AS (
            SELECT label, n,
                top || coalesce('/' || nullif(trim(regexp_replace(lower(below), '{_NUMBERING}', '')), ''), '')
                    AS section
            FROM cells
        ),
        largest AS (SELECT section FROM named GROUP BY section ORDER BY sum(n) DESC, section LIMIT $limit)
        SELECT CASE WHEN section IN (FROM largest) THEN section WHEN section LIKE 'body/%' THEN 'body, other'
            ELSE 'other' END AS section, label, round(sum(n))::BIGINT AS entities
        FROM named GROUP BY ALL ORDER BY ALL
    """,
    # histogram by label; `score` is the lower end of a bin of width 1 / BINS
    "scores": f"""
        SELECT label, bin / {BINS}::DOUBLE AS score, round(sum(n))::BIGINT AS entities
        FROM cells GROUP BY ALL ORDER BY ALL
    """,
    # entities with at least some score, and how many of them are right if scores are calibrated: their sum
    "expected": f"""
        WITH bins AS (SELECT bin, sum(n) AS n, sum(expected) AS expected FROM cells GROUP BY bin)
        SELECT step / {BINS}::DOUBLE AS score, round(sum(n))::BIGINT AS entities,
            round(sum(expected))::BIGINT AS expected
        FROM (SELECT unnest(range({BINS})) AS step) JOIN bins ON bin >= step GROUP BY step ORDER BY step
    """,
    # the most frequent of each label; those that differ only in case, hyphens and spaces are variants of one form
    "mentions": """
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
    """,
    # mentions that are expected to be wrong most often; `score` is the mean
    "doubtful": """
        SELECT label, mention, round(sum(n))::BIGINT AS mentions, sum(expected) / sum(n) AS score,
            round(sum(n) - sum(expected))::BIGINT AS wrong
        FROM forms GROUP BY label, mention HAVING sum(n) - sum(expected) >= 0.5
        ORDER BY sum(n) - sum(expected) DESC, label, mention LIMIT $limit
    """,
    # mentions of each label, and how many of them have a concept
    "grounded": """
        SELECT label, round(sum(n))::BIGINT AS mentions,
            round(sum(n) FILTER (concept_id IS NOT NULL))::BIGINT AS with_id
        FROM forms GROUP BY label ORDER BY label
    """,
    # the most frequent of each label
    "concepts": """
        SELECT label, concept_id, any_value(concept) AS concept, round(sum(n))::BIGINT AS mentions,
            list(mention ORDER BY n DESC, mention)[1:$listed] AS spelled
        FROM forms WHERE concept_id IS NOT NULL GROUP BY label, concept_id
        QUALIFY row_number() OVER (PARTITION BY label ORDER BY sum(n) DESC, concept_id) <= $each
        ORDER BY label, mentions DESC, concept_id
    """,
    # mentions of some concepts in each year
    "concept_years": """
        SELECT concept_id, year, round(count(*) * $weight)::BIGINT AS mentions
        FROM (SELECT concept_id, doc_id FROM entities WHERE concept_id IN (SELECT unnest($ids)))
        JOIN (SELECT doc_id, year FROM documents WHERE year IS NOT NULL) USING (doc_id)
        GROUP BY ALL ORDER BY ALL
    """,
    # pairs of some concepts in a sentence of one of `every` so many documents; strength = n(a, b) / sqrt(n(a) n(b)), so
    # that frequent ones do not win
    "together": """
        WITH mentioned AS (
            SELECT DISTINCT doc_id, section, sentence_start, concept_id FROM entities
            WHERE concept_id IN (SELECT unnest($ids)) AND hash(doc_id) % $every = 0
        ),
        single AS (SELECT concept_id, count(*) AS n FROM mentioned GROUP BY ALL)
        SELECT a.concept_id AS first, b.concept_id AS second, count(*) AS sentences,
            count(*) / sqrt(any_value(one.n) * any_value(other.n)) AS strength
        FROM mentioned a JOIN mentioned b USING (doc_id, section, sentence_start)
        JOIN single one ON one.concept_id = a.concept_id JOIN single other ON other.concept_id = b.concept_id
        WHERE a.concept_id < b.concept_id
        GROUP BY ALL ORDER BY strength DESC, sentences DESC, first, second LIMIT $limit
    """,
}

DEFAULTS: dict[str, dict[str, Any]] = {
    "rejected": {"mark": UNREADABLE, "each": 5},
    "broken": {"mark": UNREADABLE},
    "sections": {"limit": 12},
    "mentions": {"ignored": _HYPHENS_AND_SPACES, "each": 15, "listed": 6},
    "doubtful": {"limit": 20},
    "concepts": {"each": 10, "listed": 6},
    "together": {"limit": 60, "every": 1},
}


def count_entities(connection: duckdb.DuckDBPyConnection, weight: float = 1.0) -> None:
    """Create the temporary tables `cells` (by section and score) and `forms` (by mention), which figures query.

    weight: number of entities that each row of `entities` represents
    """
    for query in (_CELLS, _FORMS):
        connection.execute(query, {"weight": weight})


def figure(connection: duckdb.DuckDBPyConnection, name: str, **params: Any) -> list[dict[str, Any]]:
    """The rows of a figure.

    params: override the DEFAULTS of its query
    """
    rows: list[dict[str, Any]] = (
        connection.sql(FIGURES[name], params=DEFAULTS.get(name, {}) | params).to_arrow_table().to_pylist()
    )
    return rows


def leading(rows: Sequence[Mapping[str, Any]], each: int) -> list[Mapping[str, Any]]:
    """The first rows of each label."""
    return [row for _, own in groupby(rows, itemgetter("label")) for row in islice(own, each)]
