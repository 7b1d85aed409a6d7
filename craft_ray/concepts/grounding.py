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
    DIRECT,
    MATCHES,
    NONE,
    Found,
    Queries,
    Row,
    choose_by_support,
    choose_by_words,
    match_names,
    match_variants,
)
from craft_ray.concepts.context import Context
from craft_ray.concepts.dictionary import Dictionary
from craft_ray.concepts.forms import is_symbol
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.rescoring import Rescoring, by_label
from craft_ray.concepts.scores import length_class
from craft_ray.concepts.species import UNKNOWN, species_near, species_of_taxa
from craft_ray.concepts.terms import GENES
from craft_ray.concepts.variants import CONTEXT_FIRST, CONTEXT_FREE, CONTEXT_LAST
from craft_ray.core.schema import ENTITIES

CACHE_SIZE = 100_000
"""Mentions. Most mentions of a run occur again and again."""

FINGERPRINT_LENGTH = 16
"""Characters of the lexicon's fingerprint in each row."""


class Grounded(NamedTuple):
    """Mentions with CONCEPT_COLUMNS, split into those to keep and those to leave out."""

    entities: pa.Table
    left_out: pa.Table


RULES_VERSION = 1
"""Increase it when mentions get other ids with the same lexicon and scores: `craft-ray ground` then has work to do."""


@dataclass(frozen=True)
class Grounder:
    """A lexicon with the rules for using it.

    prefixes:  by label, the prefixes in which to look its mentions up; mentions of other labels get no concept
    scores:    how often each step is right, as `scores_from_counts` returns it
    grounded_only: labels whose mentions are left out if they have no concept
    rescoring: new scores for mentions of labels that the lexicon has names for; None keeps the network's
    min_score: lowest score of mentions to keep; None uses the thresholds of the rescoring, if there is one
    dictionary: names that are mentions wherever they stand, whose concepts the lexicon has; None without any
    cache:     by label, mention and species, what its names and what its context-free variants found
    """

    lexicon: Lexicon
    scores: NDArray[np.float32]
    prefixes: Mapping[str, Sequence[str]]
    grounded_only: frozenset[str] = frozenset()
    rescoring: Rescoring | None = None
    min_score: float | None = None
    dictionary: Dictionary | None = None
    cache: dict[tuple[str, str, int], tuple[Row, Row]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The lowest score of mentions to keep, by label, where it is not `min_score` for all."""
        if self.rescoring is None or self.min_score is not None:
            return {}
        return {label: lowest for label, lowest in self.rescoring.thresholds.items() if label in self.known_labels}

    @cached_property
    def known_labels(self) -> frozenset[str]:
        """Labels that the lexicon has names for."""
        named = self.lexicon.named_prefixes
        return frozenset(label for label, prefixes in self.prefixes.items() if named.intersection(prefixes))

    @cached_property
    def gene_labels(self) -> frozenset[str]:
        """Labels whose mentions may have a gene. `Gene` is one unless it has another meaning, as in CRAFT."""
        if GENES not in self.lexicon.named_prefixes:
            return frozenset()
        labels = self.labels_of("PR", GENES)
        return frozenset(labels if "Gene" in self.prefixes else [*labels, "Gene"])

    def ground(self, entities: pa.Table, texts: Sequence[str | None]) -> Grounded:
        """Add concepts and final scores, and split off the mentions to leave out. Arguments as for `add_concepts`."""
        contexts = [Context(text or "") for text in texts]
        found = self._rescore(self._with_concepts(entities, contexts), texts)
        lowest = by_label(found["label"], self.thresholds) + (self.min_score or 0.0)
        fits = pc.or_(pc.is_valid(found["concept_id"]), pc.invert(_is_in(found["label"], self.grounded_only)))
        keep = pc.and_(fits, pc.greater_equal(found["score"], pa.array(lowest.astype(np.float32))))
        return Grounded(self._with_genes(found.filter(keep), contexts), found.filter(pc.invert(keep)))

    def _rescore(self, found: pa.Table, texts: Sequence[str | None]) -> pa.Table:
        """Replace the scores of mentions of known labels."""
        if self.rescoring is None:
            return found
        known = _is_in(found["label"], self.known_labels).to_numpy()
        score = np.where(known, self.rescoring.scores(found, texts), found["score"].to_numpy())
        return _with_column(found, found.schema.field("score"), pa.array(score, pa.float32()))

    def add_concepts(self, entities: pa.Table, texts: Sequence[str | None]) -> pa.Table:
        """Add CONCEPT_COLUMNS.

        entities: with the columns label, mention, start, and row, the index of each one's document in `texts`
        """
        contexts = [Context(text or "") for text in texts]
        return self._with_genes(self._with_concepts(entities, contexts), contexts)

    def _with_concepts(self, entities: pa.Table, contexts: Sequence[Context]) -> pa.Table:
        """Add CONCEPT_COLUMNS but `gene_id`."""
        _note_definitions(entities, contexts)
        rows = np.flatnonzero(_is_in(entities["label"], self.known_labels).to_numpy())
        any_species = np.zeros(len(rows), np.int64)
        return self._add_columns(entities, rows, self._find(entities.take(rows), contexts, self.prefixes, any_species))

    def _with_genes(self, entities: pa.Table, contexts: Sequence[Context]) -> pa.Table:
        """Add `gene_id`: the gene of the first species of `species_near` that has one of the mention's name."""
        gene = np.full(entities.num_rows, NONE)
        if self.gene_labels:
            taxa, species = self._species
            named = np.append(species, 0)[pc.fill_null(pc.index_in(entities["concept_id"], taxa), -1).to_numpy()]
            near = species_near(entities["row"].to_numpy(), entities["start"].to_numpy(), named)
            may_have_one = _is_in(entities["label"], self.gene_labels).to_numpy()
            prefixes = dict.fromkeys(self.gene_labels, (GENES,))
            for number, taxon in enumerate(near.T):
                is_new = (taxon != UNKNOWN) & (near[:, :number] != taxon[:, None]).all(axis=1)
                left = np.flatnonzero(may_have_one & is_new & (gene == NONE))
                gene[left] = self._find(entities.take(left), contexts, prefixes, taxon[left]).concept
        ids = self.lexicon.ids.take(pa.array(gene, mask=gene == NONE))
        return _with_column(entities, ENTITIES.field("gene_id"), ids)

    @cached_property
    def _species(self) -> tuple[pa.StringArray, NDArray[np.int64]]:
        return species_of_taxa(self.lexicon)

    def labels_of(self, *prefixes: str) -> list[str]:
        """Labels whose mentions may mean concepts of a prefix."""
        return [label for label, some in self.prefixes.items() if not set(some).isdisjoint(prefixes)]

    def _find(
        self,
        entities: pa.Table,
        contexts: Sequence[Context],
        prefixes: Mapping[str, Sequence[str]],
        taxon: NDArray[np.int64],
    ) -> Found:
        """Find the concept of each entity, looking each mention up once in a document.

        prefixes: by label, the prefixes in which to look its mentions up
        taxon:    (entities,) as in `Queries`
        """
        labels, mentions = (entities[name].combine_chunks().dictionary_encode() for name in ("label", "mention"))
        names, texts = labels.dictionary.to_pylist(), mentions.dictionary.to_pylist()
        taxa, of_taxon = np.unique(taxon, return_inverse=True)
        sizes = (len(names), len(texts), len(taxa))
        strings, string = np.unique(
            np.ravel_multi_index((labels.indices.to_numpy(), mentions.indices.to_numpy(), of_taxon), sizes)
            if entities.num_rows
            else np.empty(0, np.int64),
            return_inverse=True,
        )
        pairs, pair = np.unique(entities["row"].to_numpy() * len(strings) + string, return_inverse=True)
        row, string = np.divmod(pairs, max(1, len(strings)))
        label, mention, which = np.unravel_index(strings, sizes) if len(strings) else (strings,) * 3
        allowed = np.array([[prefix in prefixes[name] for prefix in self.lexicon.prefixes] for name in names], np.bool_)
        queries = Queries(
            [texts[n] for n in mention.tolist()],
            [names[n] for n in label.tolist()],
            allowed.reshape(len(names), len(self.lexicon.prefixes))[label],
            [prefixes[names[n]][0] for n in label.tolist()],
            taxa[which],
        )
        group = row * max(1, len(names)) + label[string]
        return self._look_up_in_documents(queries, string, [contexts[n] for n in row.tolist()], group).take(pair)

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
            alone = found.take(np.arange(len(new)))
            match_variants(self.lexicon, missing, [Context()] * len(new), alone, CONTEXT_FREE)
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
        self._follow_definitions(pairs, contexts, found)
        symbols = np.array([is_symbol(text) for text in queries.text], np.bool_)
        for n in np.flatnonzero(symbols[string]).tolist():
            if contexts[n].is_cut(pairs.text[n]):
                found.choose(n, NONE)
        choose_by_support(found, group)
        return found

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
        here, alone = found.take(unsettled), alone.take(string[unsettled])
        match_variants(self.lexicon, own, theirs, here, CONTEXT_FIRST)
        is_earlier = (alone.match >= DIRECT) & ((here.match < DIRECT) | (alone.match < here.match))
        here.put(is_earlier, alone.take(is_earlier))
        match_variants(self.lexicon, own, theirs, here, last)
        found.put(unsettled, here)
        return found

    def _follow_definitions(self, queries: Queries, contexts: Sequence[Context], found: Found) -> None:
        """Give abbreviations the concepts of their long forms, and long forms without a concept those of the former."""
        long_forms = {n: form for n, text in enumerate(queries.text) if (form := contexts[n].long_form(text))}
        defined = np.array(list(long_forms), np.int64)
        shorter, longer = queries.take(defined), replace(queries.take(defined), text=list(long_forms.values()))
        meant = self._look_up_here(longer, np.arange(len(defined)), [contexts[n] for n in long_forms], ())
        meant.match[:] = ABBREVIATION
        here = found.take(defined)
        choose_by_words(self.lexicon, shorter.text, longer.text, here)
        has_one = meant.concept != NONE
        here.put(has_one, meant.take(has_one))
        found.put(defined, here)

        nameless = np.flatnonzero(found.concept == NONE).tolist()
        short_forms = {n: form for n in nameless if (form := contexts[n].short_form(queries.text[n]))}
        defined = np.array(list(short_forms), np.int64)
        longer, shorter = queries.take(defined), replace(queries.take(defined), text=list(short_forms.values()))
        meant = self._look_up(shorter)[0]
        choose_by_words(self.lexicon, shorter.text, longer.text, meant)
        meant.match[:] = ABBREVIATION
        found.put(defined, meant)

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
        length = length_class(pc.utf8_length(entities["mention"].take(rows[has_concept])).to_numpy())
        ontology = lexicon.ontology[found.concept[has_concept]]
        score[rows[has_concept]] = self.scores[
            ontology, found.match[has_concept], length, is_tied[has_concept].astype(np.int64)
        ]
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


def _note_definitions(entities: pa.Table, contexts: Sequence[Context]) -> None:
    """Tell contexts which symbols stand in parentheses behind a mention of their label: `Myotonic dystrophy (DM)`."""
    if not entities.num_rows:
        return
    row, start = entities["row"].to_numpy(), entities["start"].to_numpy()
    label = entities["label"].combine_chunks().dictionary_encode().indices.to_numpy()
    of_label = (row * (label.max() + 1) + label) << 32  # documents are shorter
    begins = of_label + start
    after = of_label + start + pc.utf8_length(entities["mention"]).to_numpy() + len(" (")
    order = np.argsort(begins, kind="stable")
    next_ = order[np.searchsorted(begins[order], after).clip(max=len(order) - 1)]
    long = np.flatnonzero(begins[next_] == after)
    short = next_[long]
    words, symbols = (entities["mention"].take(rows).to_pylist() for rows in (long, short))
    for document, at, symbol, form in zip(row[short].tolist(), start[short].tolist(), symbols, words, strict=True):
        text = contexts[document].text
        if is_symbol(symbol) and text[at - 2 : at] == " (" and text.startswith(")", at + len(symbol)):
            contexts[document].define(symbol, form)


def _is_in(column: pa.ChunkedArray, values: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))


def _with_column(table: pa.Table, field: pa.Field, values: Any) -> pa.Table:
    """Append a column, or replace the one of its name."""
    index = table.schema.get_field_index(field.name)
    values = pa.array(values, field.type)
    return table.append_column(field.name, values) if index < 0 else table.set_column(index, field.name, values)
