"""New names in known contexts: mentions of a training corpus replaced by others of their label; pure.

Most protein names that a model will meet were never shown to it, so it has to tell them by their surroundings and their
form. Mention replacement keeps it from learning the names of the training corpus by heart (Dai and Adel 2020, "An
analysis of simple data augmentation for named entity recognition").
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from craft_ray.training.corpora import TaggedSentence

REACH = 60
"""Consecutive sentences, about an article's section, in which one name is always replaced by the same other."""

MOST_WORDS = 5
"""Longer mentions are descriptions rather than names, and replace nothing."""

COMMON = 100
"""Occurrences from which a name is a word of the field, as `mice` is, and is never replaced."""

Names = Mapping[str, Sequence[tuple[str, ...]]]


def mention_spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """First word, end (exclusive) and label of each mention of a sentence."""
    spans: list[tuple[int, int, str]] = []
    for place, tag in enumerate(tags):
        label = tag[2:]
        if tag.startswith("I-") and spans and spans[-1][1:] == (place, label):
            spans[-1] = (spans[-1][0], place + 1, label)
        elif tag != "O":
            spans.append((place, place + 1, label))
    return spans


def names_of(sentences: Iterable[TaggedSentence], labels: Iterable[str]) -> dict[str, list[tuple[str, ...]]]:
    """The distinct names that the mentions of some labels have, in order of first occurrence."""
    names: dict[str, dict[tuple[str, ...], None]] = {label: {} for label in labels}
    for sentence in sentences:
        for first, end, label in mention_spans(sentence.tags):
            if label in names and end - first <= MOST_WORDS:
                names[label].setdefault(tuple(sentence.words[first:end]))
    return {label: list(found) for label, found in names.items()}


def replace_mentions(
    sentences: Sequence[TaggedSentence],
    names: Names,
    share: Mapping[str, float],
    seed: int,
    others: Names | None = None,
) -> list[TaggedSentence]:
    """Replace a share of each label's names by other names of the label, the same seed by the same ones.

    share:  of the distinct names within REACH sentences, by label; labels that are not in it stay as they are
    others: further names, from which half of a label's new names come where it has any
    """
    generator = np.random.default_rng(seed)
    often = Counter(
        (label, tuple(s.words[first:end])) for s in sentences for first, end, label in mention_spans(s.tags)
    )
    result = []
    chosen: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
    for number, sentence in enumerate(sentences):
        if number % REACH == 0:
            chosen = {}
        words: list[str] = []
        tags: list[str] = []
        done = 0
        for first, end, label in mention_spans(sentence.tags):
            name = tuple(sentence.words[first:end])
            if (label, name) not in chosen:
                stays = generator.random() >= share.get(label, 0.0) or often[label, name] >= COMMON
                further = (others or {}).get(label, ())
                new_names = further if further and generator.random() < 0.5 else names.get(label, ())
                chosen[label, name] = name if stays or not new_names else _one_of(new_names, generator)
            new = chosen[label, name]
            words += [*sentence.words[done:first], *new]
            tags += [*sentence.tags[done:first], f"B-{label}", *[f"I-{label}"] * (len(new) - 1)]
            done = end
        result.append(TaggedSentence(words + sentence.words[done:], tags + sentence.tags[done:]))
    return result


def _one_of(values: Sequence[tuple[str, ...]], generator: np.random.Generator) -> tuple[str, ...]:
    return values[int(generator.integers(len(values)))]
