"""Mention replacement: names of a training corpus are swapped for others of the same label.

Most names that a model meets later were not in its training corpus, so it has to recognize them by their context and
form. Replacement keeps it from memorizing the corpus's names (Dai and Adel 2020, "An analysis of simple data
augmentation for named entity recognition").
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from craft_ray.training.corpora import TaggedSentence, mention_spans

SCOPE = 60
"""Consecutive sentences, about a section of an article, in which a name is always replaced by the same other name."""

MAX_WORDS = 5
"""Longer mentions are descriptions rather than names, and are not used as replacements."""

COMMON = 100
"""Names with this many occurrences are common words of the field, such as `mice`, and are never replaced."""

Name = tuple[str, ...]
Names = Mapping[str, Sequence[Name]]
"""Names as words, by label."""


def names_of(sentences: Iterable[TaggedSentence], labels: Iterable[str]) -> dict[str, list[Name]]:
    """The distinct names of the mentions of some labels, in order of first occurrence."""
    names: dict[str, dict[Name, None]] = {label: {} for label in labels}
    for sentence in sentences:
        for first, end, label in mention_spans(sentence.tags):
            if label in names and end - first <= MAX_WORDS:
                names[label].setdefault(tuple(sentence.words[first:end]))
    return {label: list(found) for label, found in names.items()}


def replace_mentions(
    sentences: Sequence[TaggedSentence],
    names: Names,
    share: Mapping[str, float],
    seed: int,
    other_names: Names | None = None,
) -> list[TaggedSentence]:
    """Replace a share of each label's names by random other names of that label.

    share:       of the distinct names within SCOPE sentences, by label; labels without one keep their names
    other_names: where a label has some, half of its replacements come from them
    """
    generator = np.random.default_rng(seed)
    occurrences = Counter(
        (label, tuple(s.words[first:end])) for s in sentences for first, end, label in mention_spans(s.tags)
    )
    result = []
    replacement: dict[tuple[str, Name], Name] = {}
    for number, sentence in enumerate(sentences):
        if number % SCOPE == 0:
            replacement = {}
        words: list[str] = []
        tags: list[str] = []
        done = 0
        for first, end, label in mention_spans(sentence.tags):
            name = tuple(sentence.words[first:end])
            if (label, name) not in replacement:
                keep = generator.random() >= share.get(label, 0.0) or occurrences[label, name] >= COMMON
                others = (other_names or {}).get(label, ())
                choices = others if others and generator.random() < 0.5 else names.get(label, ())
                new = name if keep or not choices else choices[int(generator.integers(len(choices)))]
                replacement[label, name] = new
            new = replacement[label, name]
            words += [*sentence.words[done:first], *new]
            tags += [*sentence.tags[done:first], f"B-{label}", *[f"I-{label}"] * (len(new) - 1)]
            done = end
        result.append(TaggedSentence(words + sentence.words[done:], tags + sentence.tags[done:]))
    return result
