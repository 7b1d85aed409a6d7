"""Changed training sentences: names swapped for others of the same label, and noise.

Most names that a model meets later were not in its training corpus, so it has to recognize them by their context and
form. Replacement keeps it from memorizing the corpus's names (Dai and Adel 2020, "An analysis of simple data
augmentation for named entity recognition"). Noise is other dashes, Greek letters spelled out or not, another case.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from craft_ray.concepts.obo import read_obo
from craft_ray.concepts.terms import EXACT, RELATED, Term
from craft_ray.core.errors import SettingsError
from craft_ray.model.tags import Mention
from craft_ray.training.corpora import GREEK, Sentence
from craft_ray.training.files import read_text

SCOPE = 60
"""Consecutive sentences, about a section of an article, in which a name is always replaced by the same other name."""

MAX_WORDS = 5
"""Longer mentions are descriptions rather than names, and are not used as replacements."""

COMMON = 100
"""Names with this many occurrences are common words of the field, such as `mice`, and are never replaced."""

DASHES = ("-", "–", "−", "‐", "‑")
"""Hyphen-minus, en dash, minus sign, hyphen, non-breaking hyphen."""

_SPELLED = {name: letter for letter, name in GREEK.items() if name in ("alpha", "beta", "gamma", "delta", "kappa")}

_DASH = re.compile(f"[{''.join(DASHES)}]")
_LETTER = re.compile(f"[{''.join(GREEK)}]")
_NAME_OF_LETTER = re.compile(rf"(?i:{'|'.join(_SPELLED)})(?![a-z])")
"""A spelled-out letter that no other letter follows: in `PGC1alpha`, but not in `alphabet`."""
_WORD = re.compile(r"\w+")

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


def ontology_names(files: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The distinct names and exact or related synonyms of at most MAX_WORDS words in each label's OBO files, in order.

    Raises SettingsError if a file cannot be read or a label has no names.
    """
    result = {}
    for label, paths in files.items():
        texts = (read_text(Path(path), "the ontology") for path in paths)
        terms = (term for text in texts for term in read_obo(io.StringIO(text)) if isinstance(term, Term))
        names = dict.fromkeys(
            name
            for term in terms
            for name in (term.name, *(text for text, scope in term.synonyms if scope in (EXACT, RELATED)))
            if name and not term.obsolete
        )
        result[label] = [name for name in names if len(name.split()) <= MAX_WORDS]
        if not result[label]:
            raise SettingsError(f"there is no name of at most {MAX_WORDS} words in {', '.join(paths)}")
    return result


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


def add_noise(sentences: Sequence[Sentence], share: float, seed: int) -> list[Sentence]:
    """Change a random share of the sentences, each in one way. Mentions stay.

    The ways are: another kind of dash, Greek letters spelled out, spelled-out letters as Greek ones, all capitals, and
    words without their initial capital.
    """
    generator = np.random.default_rng(seed)
    result = []
    for sentence in sentences:
        if generator.random() < share:
            dash = DASHES[int(generator.integers(1, len(DASHES)))]
            pattern, change = CHANGES[int(generator.choice(len(CHANGES), p=PROBABILITIES))]
            parts = [
                (found.start(), found.end(), change(found[0]) if pattern is not _DASH else dash)
                for found in pattern.finditer(sentence.text)
            ]
            sentence = sentence.replaced(parts)
        result.append(sentence)
    return result


CHANGES: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (_DASH, str),  # replaced by the sentence's own kind of dash
    (_LETTER, GREEK.__getitem__),
    (_NAME_OF_LETTER, lambda name: _SPELLED[name.lower()]),
    (re.compile("."), str.upper),
    (_WORD, lambda word: word.lower() if word.istitle() and word.isalpha() else word),  # not `Pax6`
)
PROBABILITIES = (0.35, 0.2, 0.25, 0.1, 0.1)
"""How often each of CHANGES is chosen."""
