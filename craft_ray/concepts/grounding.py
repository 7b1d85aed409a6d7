"""Concepts for a table of mentions: one look-up per distinct mention, then a second one where its document may help."""

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.concepts.chain import (
    ABBREVIATION,
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
    with_support,
    without_contradictions,
)
from craft_ray.concepts.context import Context
from craft_ray.concepts.dictionary import Dictionary
from craft_ray.concepts.forms import is_symbol
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.rescoring import Rescoring
from craft_ray.concepts.scores import Scores, length_class
from craft_ray.concepts.species import UNKNOWN, species_near, species_of_taxa
from craft_ray.concepts.terms import GENES
from craft_ray.core.schema import ENTITIES

CACHE_SIZE = 100_000
"""Mentions. Most mentions of a run occur again and again."""

FINGERPRINT_LENGTH = 16
"""Characters of the lexicon's fingerprint in each row."""


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
    dictionary: names that are mentions wherever they stand, whose concepts the lexicon has; None without any
    cache:     by label, mention and species, what its names and what its context-free variants found
    """

    lexicon: Lexicon
    scores: Scores
    prefixes: Mapping[str, Sequence[str]]
    grounded_only: frozenset[str] = frozenset()
    rescoring: Rescoring | None = None
    min_score: float | None = None
    dictionary: Dictionary | None = None
    cache: dict[tuple[str, str, int], tuple[Row, Row]] = field(default_factory=dict, compare=False, repr=False)

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
        contexts = [Context(text or "") for text in texts]
        found, threshold = self._rescore(self._with_concepts(entities, contexts), texts)
        fits = pc.or_(pc.is_valid(found["concept_id"]), pc.invert(_is_in(found["label"], self.grounded_only)))
        keep = pc.and_(fits, pc.greater_equal(found["score"], pa.array(threshold)))
        return Grounded(self._with_genes(found.filter(keep), contexts), found.filter(pc.invert(keep)))

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

        entities: with the columns label, mention, start, and row, the index of each one's document in `texts`
        """
        contexts = [Context(text or "") for text in texts]
        return self._with_genes(self._with_concepts(entities, contexts), contexts)

    def _with_concepts(self, entities: pa.Table, contexts: Sequence[Context]) -> pa.Table:
        """Add CONCEPT_COLUMNS but `gene_id`."""
        rows, found = self._find(entities, contexts, self.prefixes, np.zeros(entities.num_rows, np.int64))
        return self._add_columns(entities, rows, found)

    def _with_genes(self, entities: pa.Table, contexts: Sequence[Context]) -> pa.Table:
        """Add `gene_id`: the gene of the first species of `species_near` that has one of the mention's name."""
        taxa, species = self._species
        named = np.append(species, 0)[pc.fill_null(pc.index_in(entities["concept_id"], taxa), -1).to_numpy()]
        gene = np.full(entities.num_rows, NONE)
        for taxon in species_near(entities["row"].to_numpy(), entities["start"].to_numpy(), named).T:
            left = np.flatnonzero((gene == NONE) & (taxon != UNKNOWN))
            rows, found = self._find(entities.take(left), contexts, self.gene_prefixes, taxon[left])
            gene[left[rows]] = found.concept
        ids = self.lexicon.ids.take(pa.array(gene, mask=gene == NONE))
        return _with_column(entities, ENTITIES.field("gene_id"), ids)

    @cached_property
    def _species(self) -> tuple[pa.StringArray, NDArray[np.int64]]:
        return species_of_taxa(self.lexicon)

    def labels_of(self, *prefixes: str) -> list[str]:
        """Labels whose mentions may mean concepts of a prefix."""
        return [label for label, some in self.prefixes.items() if not set(some).isdisjoint(prefixes)]

    @cached_property
    def gene_prefixes(self) -> Mapping[str, Sequence[str]]:
        """GENES, for each label that names genes. `Gene` does unless it has another meaning, as in CRAFT."""
        labels = self.labels_of("PR", GENES)
        return dict.fromkeys(labels if "Gene" in self.prefixes else [*labels, "Gene"], (GENES,))

    def _find(
        self,
        entities: pa.Table,
        contexts: Sequence[Context],
        prefixes: Mapping[str, Sequence[str]],
        taxon: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], Found]:
        """Find concepts. Returns the indices of entities with known labels, and what each of these means.

        prefixes: by label, the prefixes in which to look its mentions up
        taxon:    (entities,) as in `Queries`
        """
        known = {label for label, some in prefixes.items() if not set(some).isdisjoint(self.lexicon.prefixes)}
        rows = np.flatnonzero(_is_in(entities["label"], known).to_numpy())
        entities, taxon = entities.take(rows), taxon[rows]
        labels = entities["label"].combine_chunks().dictionary_encode()
        mentions = entities["mention"].combine_chunks().dictionary_encode()
        label, mention = labels.indices.to_numpy(), mentions.indices.to_numpy()
        columns = np.column_stack([entities["row"].to_numpy(), label, mention, taxon])
        distinct, of_pair = np.unique(columns, axis=0, return_inverse=True)
        strings, string = np.unique(distinct[:, 1:], axis=0, return_inverse=True)
        names = labels.dictionary.to_pylist()
        wanted = [prefixes[name] for name in names]
        allowed = np.array([[prefix in some for prefix in self.lexicon.prefixes] for some in wanted], np.bool_)
        queries = Queries(
            mentions.dictionary.take(pa.array(strings[:, 1])).to_pylist(),
            [names[n] for n in strings[:, 0].tolist()],
            allowed.reshape(len(names), len(self.lexicon.prefixes))[strings[:, 0]],
            [wanted[n][0] for n in strings[:, 0].tolist()],
            strings[:, 2],
        )
        group = distinct[:, 0] * max(1, len(names)) + distinct[:, 1]
        theirs = [contexts[n] for n in distinct[:, 0].tolist()]
        return rows, self._look_up_in_documents(queries, string.ravel(), theirs, group).take(of_pair.ravel())

    def _look_up(self, queries: Queries) -> tuple[Found, Found]:
        """Look strings up by name, and by name or context-free variant."""
        wanted = list(zip(queries.label, queries.text, queries.taxon.tolist(), strict=True))
        new = np.array([n for n, one in enumerate(wanted) if one not in self.cache], np.int64)
        if len(self.cache) + len(new) > CACHE_SIZE:
            self.cache.clear()
            new = np.arange(len(wanted))
        if len(new):
            missing = queries.take(new)
            found = match_names(self.lexicon, missing.text, missing.allowed, missing.taxon)
            alone = match_variants(self.lexicon, missing, [Context()] * len(new), found, CONTEXT_FREE)
            for n, by_name, by_variant in zip(new.tolist(), found.rows(), alone.rows(), strict=True):
                self.cache[wanted[n]] = (by_name, by_variant)
        rows = [self.cache[one] for one in wanted]
        return Found.from_rows([row for row, _ in rows]), Found.from_rows([row for _, row in rows])

    def _look_up_in_documents(
        self, queries: Queries, string: NDArray[np.int64], contexts: Sequence[Context], group: NDArray[np.int64]
    ) -> Found:
        """Look strings up in the documents that have them. What a document defines counts first.

        string:   (pairs,) index of a string in `queries`
        contexts: (pairs,) a document of it
        group:    (pairs,) number of the document and label
        """
        found = self._look_up_here(queries, string, contexts, CONTEXT_LAST)
        pairs = queries.take(string)
        found = self._follow_definitions(pairs, contexts, found)
        is_cut = [is_symbol(text) and context.is_cut(text) for text, context in zip(pairs.text, contexts, strict=True)]
        found.concept[is_cut] = NONE
        return with_support(found, group)

    def _look_up_here(
        self, queries: Queries, string: NDArray[np.int64], contexts: Sequence[Context], last: Container[str]
    ) -> Found:
        """Look strings up by name or variant, also those that their documents suggest.

        last: kinds of variants to try in the end; others as for `_look_up_in_documents`
        """
        names, alone = self._look_up(queries)
        found = names.take(string)
        unsettled = np.flatnonzero(found.is_unsettled())
        own, theirs = queries.take(string[unsettled]), [contexts[n] for n in unsettled.tolist()]
        here = match_variants(self.lexicon, own, theirs, found.take(unsettled), CONTEXT_FIRST)
        here = here.or_earlier_variant(alone.take(string[unsettled]))
        return found.replaced(unsettled, match_variants(self.lexicon, own, theirs, here, last))

    def _follow_definitions(self, queries: Queries, contexts: Sequence[Context], found: Found) -> Found:
        """Give abbreviations the concepts of their long forms, and long forms without a concept those of the former."""
        long_forms = {n: form for n, text in enumerate(queries.text) if (form := contexts[n].long_form(text))}
        defined = np.array(list(long_forms), np.int64)
        shorter, longer = queries.take(defined), replace(queries.take(defined), text=list(long_forms.values()))
        meant = self._look_up_here(longer, np.arange(len(defined)), [contexts[n] for n in long_forms], ())
        meant.match[:] = ABBREVIATION
        here = without_contradictions(self.lexicon, shorter.text, longer.text, found.take(defined))
        found = found.replaced(defined, here.where(meant.concept != NONE, meant))

        nameless = np.flatnonzero(found.concept == NONE).tolist()
        short_forms = {n: form for n in nameless if (form := contexts[n].short_form(queries.text[n]))}
        defined = np.array(list(short_forms), np.int64)
        longer, shorter = queries.take(defined), replace(queries.take(defined), text=list(short_forms.values()))
        meant = without_contradictions(self.lexicon, shorter.text, longer.text, self._look_up(shorter)[0])
        meant.match[:] = ABBREVIATION
        return found.replaced(defined, meant)

    def _add_columns(self, entities: pa.Table, rows: NDArray[np.int64], found: Found) -> pa.Table:
        """Add CONCEPT_COLUMNS but `gene_id`.

        rows: (mentions,) indices of the entities that were looked up, as in `found`
        """
        lexicon, count = self.lexicon, entities.num_rows
        has_concept = found.concept != NONE
        is_tied = found.ties.astype(np.bool_)
        concept, match = np.full(count, NONE, np.int64), np.zeros(count, np.int64)
        concept[rows], match[rows] = found.concept, found.match
        score = np.full(count, np.nan, np.float32)
        score[rows[has_concept]] = self.scores.look_up(
            lexicon.ontology[found.concept[has_concept]],
            found.match[has_concept],
            np.array(list(map(length_class, entities["mention"].take(rows[has_concept]).to_pylist())), np.int64),
            is_tied[has_concept],
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
        for name, values in columns.items():
            entities = _with_column(entities, ENTITIES.field(name), values)
        return entities


def _is_in(column: pa.ChunkedArray, values: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))


def _with_column(table: pa.Table, field: pa.Field, values: Any) -> pa.Table:
    """Append a column, or replace the one of its name."""
    index = table.schema.get_field_index(field.name)
    values = pa.array(values, field.type)
    return table.append_column(field.name, values) if index < 0 else table.set_column(index, field.name, values)
