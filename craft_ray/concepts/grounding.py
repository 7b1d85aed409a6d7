"""Concepts for a table of mentions: one look-up per distinct mention, then a second one where its document may help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.concepts.chain import (
    CONTEXT_FIRST,
    CONTEXT_FREE,
    CONTEXT_LAST,
    MATCHES,
    NONE,
    Found,
    Queries,
    Row,
    match_names,
    match_variants,
)
from craft_ray.concepts.context import Context
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.rescoring import Rescoring
from craft_ray.concepts.scores import Scores
from craft_ray.core.labels import ONTOLOGY
from craft_ray.core.schema import CONCEPT_COLUMNS, ENTITIES

CACHE_SIZE = 100_000
"""Mentions. Most mentions of a run occur again and again."""

FINGERPRINT_LENGTH = 16
"""Characters of the lexicon's fingerprint in each row."""

DEFAULT_PREFIXES = {label: (prefix,) for label, prefix in ONTOLOGY.items()}


class Grounded(NamedTuple):
    """Mentions with CONCEPT_COLUMNS, split into those to keep and those to leave out."""

    entities: pa.Table
    left_out: pa.Table


@dataclass(frozen=True)
class Grounder:
    """A lexicon with the rules for using it.

    prefixes:  by label, the prefixes in which to look its mentions up; mentions of other labels get no concept
    scores:    how often each step is right
    grounded_only: labels whose mentions are left out if they have no concept
    rescoring: new scores for mentions of labels that the lexicon has names for; None keeps the network's
    min_score: lowest score of mentions to keep; None uses the threshold of the rescoring, if there is one
    cache:     by label and mention, what its names and what its context-free variants found
    """

    lexicon: Lexicon
    scores: Scores
    prefixes: Mapping[str, Sequence[str]]
    grounded_only: frozenset[str] = frozenset()
    rescoring: Rescoring | None = None
    min_score: float | None = None
    cache: dict[tuple[str, str], tuple[Row, Row]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def score_threshold(self) -> float:
        """The lowest score of mentions to keep."""
        if self.min_score is not None:
            return self.min_score
        return self.rescoring.threshold if self.rescoring else 0.0

    @property
    def known_labels(self) -> frozenset[str]:
        """Labels that the lexicon has names for."""
        named = self.lexicon.named_prefixes
        return frozenset(label for label, prefixes in self.prefixes.items() if named.intersection(prefixes))

    def ground(self, entities: pa.Table, texts: Sequence[str | None]) -> Grounded:
        """Add concepts and final scores, and split off the mentions to leave out. Arguments as for `add_concepts`."""
        found, threshold = self._rescore(self.add_concepts(entities, texts), texts)
        fits = pc.or_(pc.is_valid(found["concept_id"]), pc.invert(_is_in(found["label"], self.grounded_only)))
        keep = pc.and_(fits, pc.greater_equal(found["score"], pa.array(threshold)))
        return Grounded(found.filter(keep), found.filter(pc.invert(keep)))

    def _rescore(self, found: pa.Table, texts: Sequence[str | None]) -> tuple[pa.Table, NDArray[np.float32]]:
        """Replace the scores. Also returns (entities,) the lowest score of a mention to keep."""
        threshold = np.full(found.num_rows, self.min_score or 0.0, np.float32)
        if self.rescoring is None:
            return found, threshold
        known = _is_in(found["label"], self.known_labels).to_numpy()
        score = np.where(known, self.rescoring.scores(found, texts), found["score"].to_numpy())
        if self.min_score is None:
            threshold[known] = self.rescoring.threshold
        return _with_column(found, found.schema.field("score"), pa.array(score, pa.float32())), threshold

    def add_concepts(self, entities: pa.Table, texts: Sequence[str | None]) -> pa.Table:
        """Add CONCEPT_COLUMNS.

        entities: with the columns label, mention, and row, the index of each one's document in `texts`
        """
        labels = entities["label"].combine_chunks().dictionary_encode()
        mentions = entities["mention"].combine_chunks().dictionary_encode()
        label, mention = labels.indices.to_numpy(), mentions.indices.to_numpy().astype(np.int64)
        names = labels.dictionary.to_pylist()
        allowed, prefixes = self._allowed(names)
        rows = np.flatnonzero(np.any(allowed, axis=1)[label]) if len(names) else np.empty(0, np.int64)
        _, first, query = np.unique(
            mention[rows] * max(1, len(names)) + label[rows], return_index=True, return_inverse=True
        )
        distinct = rows[first]
        queries = Queries(
            mentions.dictionary.take(pa.array(mention[distinct])).to_pylist(),
            [names[n] for n in label[distinct].tolist()],
            allowed[label[distinct]],
            [prefixes[n] for n in label[distinct].tolist()],
        )
        found, alone = self._look_up(queries)
        if len(found.unsettled()):
            document = entities["row"].to_numpy()[rows]
            found, query = self._look_up_in_documents(found, alone, queries, query, document, texts)
        return self._add_columns(entities, rows, found.take(query))

    def _allowed(self, labels: Sequence[str]) -> tuple[NDArray[np.bool_], list[str]]:
        """(labels, prefixes) mask of where to look up, and the prefix that decides the rules for variants."""
        wanted = [self.prefixes.get(label, ()) for label in labels]
        allowed = np.array([[prefix in some for prefix in self.lexicon.prefixes] for some in wanted], np.bool_)
        return allowed.reshape(len(labels), len(self.lexicon.prefixes)), [some[0] if some else "" for some in wanted]

    def _look_up(self, queries: Queries) -> tuple[Found, Found]:
        """Look strings up by name, and by name or context-free variant."""
        wanted = list(zip(queries.label, queries.text, strict=True))
        new = np.array([n for n, one in enumerate(wanted) if one not in self.cache], np.int64)
        if len(self.cache) + len(new) > CACHE_SIZE:
            self.cache.clear()
            new = np.arange(len(wanted))
        if len(new):
            missing = queries.take(new)
            found = match_names(self.lexicon, missing.text, missing.allowed)
            alone = match_variants(self.lexicon, missing, [Context()] * len(new), found, CONTEXT_FREE)
            for n, by_name, by_variant in zip(new.tolist(), found.rows(), alone.rows(), strict=True):
                self.cache[wanted[n]] = (by_name, by_variant)
        rows = [self.cache[one] for one in wanted]
        return Found.from_rows([row for row, _ in rows]), Found.from_rows([row for _, row in rows])

    def _look_up_in_documents(
        self,
        found: Found,
        alone: Found,
        queries: Queries,
        query: NDArray[np.int64],
        document: NDArray[np.int64],
        texts: Sequence[str | None],
    ) -> tuple[Found, NDArray[np.int64]]:
        """Look unsettled strings up in each document that has them.

        query:    (mentions,) index of each mention in `queries`
        document: (mentions,) index of its document in `texts`

        Returns `found` with a row more for each pair of string and document, and (mentions,) the row of each mention.
        """
        is_unsettled = np.zeros(len(queries.text), np.bool_)
        is_unsettled[found.unsettled()] = True
        mine = np.flatnonzero(is_unsettled[query])
        pairs, pair = np.unique(query[mine] * (len(texts) + 1) + document[mine], return_inverse=True)
        string, document = np.divmod(pairs, len(texts) + 1)
        by_document = {number: Context(texts[number] or "") for number in set(document.tolist())}
        contexts = [by_document[number] for number in document.tolist()]
        own = queries.take(string)
        here = match_variants(self.lexicon, own, contexts, found.take(string), CONTEXT_FIRST)
        here = here.or_earlier_variant(alone.take(string))
        here = match_variants(self.lexicon, own, contexts, here, CONTEXT_LAST)
        row = query.copy()
        row[mine] = len(queries.text) + pair
        return found.concat(here), row

    def _add_columns(self, entities: pa.Table, rows: NDArray[np.int64], found: Found) -> pa.Table:
        """Add CONCEPT_COLUMNS.

        rows: (mentions,) indices of the entities that were looked up, as in `found`
        """
        lexicon, count = self.lexicon, entities.num_rows
        has_concept = found.concept != NONE
        is_tied = found.ties.astype(np.bool_)
        concept, match = np.full(count, NONE, np.int64), np.zeros(count, np.int64)
        concept[rows], match[rows] = found.concept, found.match
        score = np.full(count, np.nan, np.float32)
        score[rows[has_concept]] = self.scores.look_up(
            lexicon.ontology[found.concept[has_concept]], found.match[has_concept], is_tied[has_concept]
        )
        candidates: list[list[dict[str, object]] | None] = [None] * count
        for n in np.flatnonzero(is_tied & has_concept).tolist():
            best, ties = float(score[rows[n]]), found.ties[n]
            scored = [(int(found.concept[n]), best), *((other, (1 - best) / len(ties)) for other in ties)]
            candidates[rows[n]] = [{"id": lexicon.ids[other].as_py(), "score": share} for other, share in scored]
        missing = concept == NONE
        index = pa.array(concept, mask=missing)
        columns: dict[str, Any] = {
            "concept_id": lexicon.ids.take(index),
            "concept_name": lexicon.names.take(index),
            "concept_score": pa.array(score, mask=missing),
            "concept_match": pa.array(MATCHES, pa.string()).take(pa.array(match, mask=missing)),
            "concept_candidates": candidates,
            "lexicon": pa.repeat(lexicon.fingerprint[:FINGERPRINT_LENGTH], count),
        }
        for name in CONCEPT_COLUMNS:
            entities = _with_column(entities, ENTITIES.field(name), columns[name])
        return entities


def _is_in(column: pa.ChunkedArray, values: frozenset[str]) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))


def _with_column(table: pa.Table, field: pa.Field, values: Any) -> pa.Table:
    """Append a column, or replace the one of its name."""
    index = table.schema.get_field_index(field.name)
    values = pa.array(values, field.type)
    return table.append_column(field.name, values) if index < 0 else table.set_column(index, field.name, values)
