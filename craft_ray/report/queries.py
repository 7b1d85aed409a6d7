"""Questions that many ask of an output: the most frequent mentions, mentions named together, rejected documents."""

from collections.abc import Sequence

import duckdb
import pyarrow as pa

_TOP = """
    SELECT label, mention, count(*) AS mentions, count(DISTINCT doc_id) AS documents, avg(score)::FLOAT AS score
    FROM entities
    WHERE ($labels = [] OR label IN (SELECT unnest($labels)))
    GROUP BY ALL ORDER BY {by} DESC, label, mention LIMIT $limit
"""

_PAIRS = """
    WITH said AS (
        SELECT DISTINCT doc_id, section, sentence_start, label, mention FROM entities WHERE label IN ($first, $second)
    ),
    sentences AS (SELECT count(*) AS n FROM (SELECT DISTINCT doc_id, section, sentence_start FROM entities)),
    single AS (SELECT label, mention, count(*) AS n FROM said GROUP BY ALL),
    together AS (
        SELECT a.mention AS first, b.mention AS second, count(*) AS n, count(DISTINCT doc_id) AS documents
        FROM said a JOIN said b USING (doc_id, section, sentence_start)
        WHERE a.label = $first AND b.label = $second AND ($first <> $second OR a.mention < b.mention)
        GROUP BY ALL HAVING count(*) >= $at_least
    )
    SELECT first, second, together.n AS sentences, documents,
        (together.n * sentences.n / (a.n * b.n))::DOUBLE AS lift
    FROM together, sentences
    JOIN single a ON a.label = $first AND a.mention = first
    JOIN single b ON b.label = $second AND b.mention = second
    ORDER BY {by} DESC, sentences DESC, first, second LIMIT $limit
"""


_REJECTED = """
    SELECT doc_id, reason, detail, shard FROM documents
    WHERE status = 'rejected' AND ($reason IS NULL OR reason = $reason) ORDER BY shard, doc_id LIMIT $limit
"""


def rejected_documents(connection: duckdb.DuckDBPyConnection, reason: str | None = None, limit: int = 100) -> pa.Table:
    """Rejected documents, and what broken shards did not give; columns doc_id, reason, detail, shard."""
    return connection.sql(_REJECTED, params={"reason": reason, "limit": limit}).to_arrow_table()


def top_mentions(
    connection: duckdb.DuckDBPyConnection, labels: Sequence[str] = (), by: str = "mentions", limit: int = 20
) -> pa.Table:
    """The most frequent mentions; columns label, mention, mentions, documents and the mean score.

    by: mentions or documents
    """
    wanted = {"labels": list(labels), "limit": limit}
    return connection.sql(_TOP.format(by=_one_of(by, "mentions", "documents")), params=wanted).to_arrow_table()


def pairs(
    connection: duckdb.DuckDBPyConnection,
    first: str,
    second: str,
    by: str = "lift",
    at_least: int = 3,
    limit: int = 20,
) -> pa.Table:
    """Mentions of two labels that stand in one sentence; columns first, second, sentences, documents, lift.

    lift: how much more often they are together than if neither knew of the other, n(a, b) n / (n(a) n(b)), where n
          counts sentences that mention anything: the tables hold no others. Without a lower bound on n(a, b) the
          rarest mentions have the highest lift.
    by:   lift or sentences
    """
    wanted = {"first": first, "second": second, "at_least": at_least, "limit": limit}
    return connection.sql(_PAIRS.format(by=_one_of(by, "lift", "sentences")), params=wanted).to_arrow_table()


def _one_of(given: str, *known: str) -> str:
    if given not in known:
        raise ValueError(given)
    return given
