"""Mention replacement: names of a training corpus are swapped for others of the same label.

Most names that a model meets later were not in its training corpus, so it has to recognize them by their context and
form. Replacement keeps it from memorizing the corpus's names (Dai and Adel 2020, "An analysis of simple data
augmentation for named entity recognition").
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from craft_ray.model.tags import Mention
from craft_ray.training.corpora import Sentence

SCOPE = 60
"""Consecutive sentences, about a section of an article, in which a name is always replaced by the same other name."""

MAX_WORDS = 5
"""Longer mentions are descriptions rather than names, and are not used as replacements."""

COMMON = 100
"""Names with this many occurrences are common words of the field, such as `mice`, and are never replaced."""

Names = Mapping[str, Sequence[str]]
"""Names by label."""


def names_of(sentences: Iterable[Sentence], labels: Iterable[str]) -> dict[str, list[str]]:
    """The distinct names of the mentions of some labels, in order of first occurrence."""
    names: dict[str, dict[str, None]] = {label: {} for label in labels}
    for sentence in sentences:
        for mention in sentence.mentions:
            name = sentence.text[mention.start : mention.end]
            if mention.label in names and len(name.split()) <= MAX_WORDS:
                names[mention.label].setdefault(name)
    return {label: list(found) for label, found in names.items()}


def replace_mentions(
    sentences: Sequence[Sentence],
    names: Names,
    share: Mapping[str, float],
    seed: int,
    other_names: Names | None = None,
) -> list[Sentence]:
    """Replace a share of each label's names by random other names of that label.

    Mentions that overlap others keep their names.

    share:       of the distinct names within SCOPE sentences, by label; labels without one keep their names
    other_names: where a label has some, half of its replacements come from them
    """
    generator = np.random.default_rng(seed)
    occurrences = Counter((m.label, s.text[m.start : m.end]) for s in sentences for m in s.mentions)
    result = []
    replacement: dict[tuple[str, str], str] = {}
    for number, sentence in enumerate(sentences):
        if number % SCOPE == 0:
            replacement = {}
        parts = []
        for mention in _alone(sentence.mentions):
            label, name = mention.label, sentence.text[mention.start : mention.end]
            if (label, name) not in replacement:
                keep = generator.random() >= share.get(label, 0.0) or occurrences[label, name] >= COMMON
                others = (other_names or {}).get(label, ())
                choices = others if others and generator.random() < 0.5 else names.get(label, ())
                new = name if keep or not choices else choices[int(generator.integers(len(choices)))]
                replacement[label, name] = new
            parts.append((mention.start, mention.end, replacement[label, name]))
        result.append(sentence.replaced(parts))
    return result


def _alone(mentions: Sequence[Mention]) -> list[Mention]:
    """The mentions that overlap no other, in order."""
    ordered = sorted(mentions, key=lambda m: (m.start, m.end))
    next_start = [m.start for m in ordered[1:]]
    alone, reached = [], 0
    for number, mention in enumerate(ordered):
        if mention.start >= reached and all(start >= mention.end for start in next_start[number : number + 1]):
            alone.append(mention)
        reached = max(reached, mention.end)
    return alone
