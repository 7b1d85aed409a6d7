"""Ids for a table of mentions: one look-up per distinct mention, then what the documents tell about the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.concepts.chain import MATCHES, NONE, Found, by_names, by_variants
from craft_ray.concepts.context import Context
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.scores import Scores
from craft_ray.core.labels import ONTOLOGY
from craft_ray.core.schema import CONCEPT_COLUMNS, ENTITIES

SHOWN = 16
"""Characters of a lexicon's fingerprint that each row has."""

DEFAULT_PREFIXES = {label: (prefix,) for label, prefix in ONTOLOGY.items()}


class Grounded(NamedTuple):
    """Mentions with CONCEPT_COLUMNS.

    entities:   those that stay
    ungrounded: those that nothing fits, of labels whose other mentions alone stay
    """

    entities: pa.Table
    ungrounded: pa.Table


@dataclass(frozen=True)
class Grounder:
    """A lexicon, and how it is asked.

    prefixes: by label, the prefixes in which its mentions are looked up; mentions of other labels get no id
    scores:   how often each step is right
    only:     labels whose mentions are left out where nothing fits
    """

    lexicon: Lexicon
    scores: Scores
    prefixes: Mapping[str, Sequence[str]]
    only: frozenset[str] = frozenset()

    def ground(self, entities: pa.Table, texts: Sequence[str | None]) -> Grounded:
        """The entities with their concepts, those apart that `only` leaves out; arguments as for `identify`."""
        found = self.identify(entities, texts)
        stays = pc.or_(
            pc.is_valid(found["concept_id"]),
            pc.invert(pc.is_in(found["label"], pa.array(sorted(self.only), pa.string()))),
        )
        return Grounded(found.filter(stays), found.filter(pc.invert(stays)))

    def identify(self, entities: pa.Table, texts: Sequence[str | None]) -> pa.Table:
        """All the entities, with CONCEPT_COLUMNS.

        entities: with the columns label, mention, and row, the place of each one's document in `texts`
        """
        labels = entities["label"].combine_chunks().dictionary_encode()
        mentions = entities["mention"].combine_chunks().dictionary_encode()
        label, mention = labels.indices.to_numpy(), mentions.indices.to_numpy().astype(np.int64)
        names = labels.dictionary.to_pylist()
        allowed, rules = self._allowed(names)
        asked = np.flatnonzero(np.any(allowed, axis=1)[label]) if len(names) else np.empty(0, np.int64)
        distinct, first, inverse = np.unique(
            mention[asked] * max(1, len(names)) + label[asked], return_index=True, return_inverse=True
        )
        which = asked[first]
        strings = mentions.dictionary.take(pa.array(mention[which])).to_pylist()
        found = by_names(self.lexicon, strings, allowed[label[which]])
        row = entities["row"].to_numpy()
        place, concept, match, rivals = asked, found.concept[inverse], found.match[inverse], found.rivals
        of = inverse.copy()  # for each mention asked, the string whose rivals are its own
        if len(found.open()):
            in_documents, back = self._in_documents(
                found,
                inverse,
                row[asked],
                strings,
                allowed[label[which]],
                [rules[n] for n in label[which]],
                texts,
            )
            changed = np.flatnonzero(back >= 0)
            concept[changed], match[changed] = in_documents.concept[back[changed]], in_documents.match[back[changed]]
            of[changed] = back[changed] + len(distinct)
            rivals = rivals | {n + len(distinct): others for n, others in in_documents.rivals.items()}
        return self._columns(entities, place, concept, match, of, rivals)

    def _allowed(self, labels: Sequence[str]) -> tuple[NDArray[np.bool_], list[str]]:
        """(labels, prefixes) where each label's mentions are looked up, and the prefix whose rules apply to each."""
        wanted = [self.prefixes.get(label, ()) for label in labels]
        allowed = np.array([[prefix in some for prefix in self.lexicon.prefixes] for some in wanted], np.bool_)
        return allowed.reshape(len(labels), len(self.lexicon.prefixes)), [some[0] if some else "" for some in wanted]

    def _in_documents(
        self,
        found: Found,
        inverse: NDArray[np.int64],
        row: NDArray[np.int64],
        strings: Sequence[str],
        allowed: NDArray[np.bool_],
        rules: Sequence[str],
        texts: Sequence[str | None],
    ) -> tuple[Found, NDArray[np.int64]]:
        """Variants of what names left open, one look-up per string and document; and each mention's place in them."""
        is_left = np.zeros(len(strings), np.bool_)
        is_left[found.open()] = True
        mine = np.flatnonzero(is_left[inverse])
        pairs, back = np.unique(inverse[mine] * (len(texts) + 1) + row[mine], return_inverse=True)
        string, document = np.divmod(pairs, len(texts) + 1)
        contexts = {number: Context(texts[number] or "") for number in set(document.tolist())}
        start = Found(
            found.concept[string],
            found.match[string],
            {n: found.rivals[s] for n, s in enumerate(string.tolist()) if s in found.rivals},
        )
        result = by_variants(
            self.lexicon,
            [strings[s] for s in string.tolist()],
            allowed[string],
            [rules[s] for s in string.tolist()],
            [contexts[number] for number in document.tolist()],
            start,
        )
        places = np.full(len(inverse), NONE, np.int64)
        places[mine] = back
        return result, places

    def _columns(
        self,
        entities: pa.Table,
        place: NDArray[np.int64],
        concept: NDArray[np.int64],
        match: NDArray[np.int64],
        of: NDArray[np.int64],
        rivals: Mapping[int, list[int]],
    ) -> pa.Table:
        """The entities with what was found for those at `place`."""
        lexicon, count = self.lexicon, entities.num_rows
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
            "lexicon": pa.repeat(lexicon.fingerprint[:SHOWN], count),
        }
        for name in CONCEPT_COLUMNS:
            values = pa.array(columns[name], ENTITIES.field(name).type)
            if name in entities.schema.names:
                entities = entities.set_column(entities.schema.get_field_index(name), name, values)
            else:
                entities = entities.append_column(name, values)
        return entities
