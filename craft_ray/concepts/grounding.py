"""Ids for a table of mentions: one look-up per distinct mention, then what the documents tell about the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.concepts.chain import ALONE, DEFINED, LAST, MATCHES, NONE, Found, Row, by_names, by_variants
from craft_ray.concepts.context import Context
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.rescoring import Rescoring
from craft_ray.concepts.scores import Scores
from craft_ray.core.labels import ONTOLOGY
from craft_ray.core.schema import CONCEPT_COLUMNS, ENTITIES

REMEMBERED = 100_000
"""Mentions whose concepts a process remembers; most mentions of a run occur again and again."""

FINGERPRINT_LENGTH = 16
"""Characters of a lexicon's fingerprint that each row has."""

DEFAULT_PREFIXES = {label: (prefix,) for label, prefix in ONTOLOGY.items()}


class Grounded(NamedTuple):
    """Mentions with CONCEPT_COLUMNS.

    entities: those that stay
    left_out: those that are no mentions after all: their score is too low, or nothing fits them where something must
    """

    entities: pa.Table
    left_out: pa.Table


@dataclass(frozen=True, slots=True)
class _Strings:
    """Distinct mentions, (strings,) each.

    allowed: (strings, prefixes) the prefixes in which each is looked up
    rules:   the prefix whose rules apply to each
    """

    text: list[str]
    label: list[str]
    allowed: NDArray[np.bool_]
    rules: list[str]

    def take(self, places: NDArray[np.int64]) -> "_Strings":
        """Some of them, or some several times."""
        at = places.tolist()
        text, label, rules = ([column[n] for n in at] for column in (self.text, self.label, self.rules))
        return _Strings(text, label, self.allowed[places], rules)


@dataclass(frozen=True)
class Grounder:
    """A lexicon, and how it is asked.

    prefixes: by label, the prefixes in which its mentions are looked up; mentions of other labels get no id
    scores:   how often each step is right
    grounded_only: labels whose mentions are left out where nothing fits
    rescoring: how mentions of labels that the lexicon has names for are scored anew; None leaves the network's scores
    min_score: mentions with a lower score are left out; None for the threshold of the rescoring, where there is one
    """

    lexicon: Lexicon
    scores: Scores
    prefixes: Mapping[str, Sequence[str]]
    grounded_only: frozenset[str] = frozenset()
    rescoring: Rescoring | None = None
    min_score: float | None = None
    seen: dict[tuple[str, str], tuple[Row, Row]] = field(default_factory=dict, compare=False, repr=False)
    """By label and mention, what names gave, and what its variants gave, without any document."""

    def ground(self, entities: pa.Table, texts: Sequence[str | None]) -> Grounded:
        """Add concepts and final scores, and split off the mentions to leave out. Arguments as for `add_concepts`."""
        found, lowest = self._rescored(self.add_concepts(entities, texts), texts)
        fits = pc.or_(
            pc.is_valid(found["concept_id"]),
            pc.invert(pc.is_in(found["label"], pa.array(sorted(self.grounded_only), pa.string()))),
        )
        stays = pc.and_(fits, pc.greater_equal(found["score"], pa.array(lowest)))
        return Grounded(found.filter(stays), found.filter(pc.invert(stays)))

    def _rescored(self, found: pa.Table, texts: Sequence[str | None]) -> tuple[pa.Table, NDArray[np.float32]]:
        """The entities with their new scores, and (entities,) the lowest score of one that stays."""
        lowest = np.full(found.num_rows, self.min_score or 0.0, np.float32)
        if self.rescoring is None:
            return found, lowest
        known = pc.is_in(found["label"], pa.array(sorted(self.known_labels), pa.string())).to_numpy()
        place = found.schema.get_field_index("score")
        score = np.where(known, self.rescoring.scores(found, texts), found["score"].to_numpy())
        if self.min_score is None:
            lowest[known] = self.rescoring.threshold
        return found.set_column(place, found.schema.field(place), pa.array(score, pa.float32())), lowest

    @property
    def score_threshold(self) -> float:
        """Score from which on mentions stay."""
        if self.min_score is not None:
            return self.min_score
        return self.rescoring.threshold if self.rescoring else 0.0

    @property
    def known_labels(self) -> frozenset[str]:
        """Labels that the lexicon has names for."""
        named = self.lexicon.named_prefixes
        return frozenset(label for label, prefixes in self.prefixes.items() if named.intersection(prefixes))

    def add_concepts(self, entities: pa.Table, texts: Sequence[str | None]) -> pa.Table:
        """All the entities, with CONCEPT_COLUMNS.

        entities: with the columns label, mention, and row, the place of each one's document in `texts`
        """
        labels = entities["label"].combine_chunks().dictionary_encode()
        mentions = entities["mention"].combine_chunks().dictionary_encode()
        label, mention = labels.indices.to_numpy(), mentions.indices.to_numpy().astype(np.int64)
        names = labels.dictionary.to_pylist()
        allowed, rules = self._allowed(names)
        asked = np.flatnonzero(np.any(allowed, axis=1)[label]) if len(names) else np.empty(0, np.int64)
        _, first, inverse = np.unique(
            mention[asked] * max(1, len(names)) + label[asked], return_index=True, return_inverse=True
        )
        which = asked[first]
        strings = _Strings(
            mentions.dictionary.take(pa.array(mention[which])).to_pylist(),
            [names[n] for n in label[which].tolist()],
            allowed[label[which]],
            [rules[n] for n in label[which].tolist()],
        )
        found, alone = self._alone(strings)
        of = inverse
        if len(found.open()):
            row = entities["row"].to_numpy()[asked]
            found, of = self._in_documents(found, alone, strings, inverse, row, texts)
        return self._columns(entities, asked, found, of)

    def _allowed(self, labels: Sequence[str]) -> tuple[NDArray[np.bool_], list[str]]:
        """(labels, prefixes) where each label's mentions are looked up, and the prefix whose rules apply to each."""
        wanted = [self.prefixes.get(label, ()) for label in labels]
        allowed = np.array([[prefix in some for prefix in self.lexicon.prefixes] for some in wanted], np.bool_)
        return allowed.reshape(len(labels), len(self.lexicon.prefixes)), [some[0] if some else "" for some in wanted]

    def _alone(self, strings: "_Strings") -> tuple[Found, Found]:
        """The concepts of strings by names, and by names or variants without any document."""
        asked = list(zip(strings.label, strings.text, strict=True))
        new = np.array([n for n, one in enumerate(asked) if one not in self.seen], np.int64)
        if len(self.seen) + len(new) > REMEMBERED:
            self.seen.clear()
            new = np.arange(len(asked))
        if len(new):
            unseen = strings.take(new)
            found = by_names(self.lexicon, unseen.text, unseen.allowed)
            contexts = [Context()] * len(new)
            alone = by_variants(self.lexicon, unseen.text, unseen.allowed, unseen.rules, contexts, found, ALONE)
            for n, by_name, by_variant in zip(new.tolist(), found.rows(), alone.rows(), strict=True):
                self.seen[asked[n]] = (by_name, by_variant)
        rows = [self.seen[one] for one in asked]
        return Found.of([row for row, _ in rows]), Found.of([row for _, row in rows])

    def _in_documents(
        self,
        found: Found,
        alone: Found,
        strings: "_Strings",
        inverse: NDArray[np.int64],
        row: NDArray[np.int64],
        texts: Sequence[str | None],
    ) -> tuple[Found, NDArray[np.int64]]:
        """Found for each string, then for each string and document that names left open; and each mention's place."""
        is_left = np.zeros(len(strings.text), np.bool_)
        is_left[found.open()] = True
        mine = np.flatnonzero(is_left[inverse])
        pairs, back = np.unique(inverse[mine] * (len(texts) + 1) + row[mine], return_inverse=True)
        string, document = np.divmod(pairs, len(texts) + 1)
        contexts = {number: Context(texts[number] or "") for number in set(document.tolist())}
        own = strings.take(string)
        own_contexts = [contexts[number] for number in document.tolist()]
        asked = (self.lexicon, own.text, own.allowed, own.rules, own_contexts)
        here = by_variants(*asked, found.take(string), DEFINED).surer(alone.take(string))
        here = by_variants(*asked, here, LAST)
        places = inverse.copy()
        places[mine] = back + len(strings.text)
        return found.followed_by(here), places

    def _columns(
        self,
        entities: pa.Table,
        place: NDArray[np.int64],
        found: Found,
        of: NDArray[np.int64],
    ) -> pa.Table:
        """The entities with what was found for those at `place`; `of` is where in `found`."""
        lexicon, count = self.lexicon, entities.num_rows
        concept, match, rivals = found.concept[of], found.match[of], found.rivals
        has = concept != NONE
        ambiguous = np.isin(of, np.fromiter(rivals, np.int64, len(rivals)))
        number, step, score = (
            np.full(count, -1, np.int64),
            np.zeros(count, np.int64),
            np.full(count, np.nan, np.float32),
        )
        number[place], step[place] = concept, match
        score[place[has]] = self.scores.of(lexicon.ontology[concept[has]], match[has], ambiguous[has])
        nothing = number < 0
        take = pa.array(number, mask=nothing)
        candidates: list[list[dict[str, object]] | None] = [None] * count
        ids = lexicon.ids
        for n in np.flatnonzero(ambiguous & has).tolist():
            others, at = rivals[int(of[n])], int(place[n])
            sure = float(score[at])
            rest = [{"id": ids[other].as_py(), "score": (1 - sure) / len(others)} for other in others]
            candidates[at] = [{"id": ids[int(concept[n])].as_py(), "score": sure}, *rest]
        columns = {
            "concept_id": ids.take(take),
            "concept_name": lexicon.names.take(take),
            "concept_score": pa.array(score, mask=nothing),
            "concept_match": pa.array(MATCHES, pa.string()).take(pa.array(step, mask=nothing)),
            "concept_candidates": candidates,
            "lexicon": pa.repeat(lexicon.fingerprint[:FINGERPRINT_LENGTH], count),
        }
        for name in CONCEPT_COLUMNS:
            values = pa.array(columns[name], ENTITIES.field(name).type)
            if name in entities.schema.names:
                entities = entities.set_column(entities.schema.get_field_index(name), name, values)
            else:
                entities = entities.append_column(name, values)
        return entities
