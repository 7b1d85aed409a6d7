"""Sentences with gold mentions, written with their labels."""

import re

from craft_ray.model.tags import Mention
from craft_ray.training.corpora import Sentence


def gold(marked: str) -> Sentence:
    """`[Pax6|Protein] acts in [mice|Taxon]` as a sentence. Mentions may be nested."""
    text, mentions, open_at = "", [], []
    for part in re.split(r"(\[|\|\w+\])", marked):
        if part == "[":
            open_at.append(len(text))
        elif part.startswith("|"):
            mentions.append(Mention(open_at.pop(), len(text), part[1:-1]))
        else:
            text += part
    return Sentence(text, tuple(sorted(mentions, key=lambda m: (m.start, m.end, m.label))))


def marked(sentence: Sentence) -> list[tuple[str, str]]:
    """Text and label of each mention."""
    return [(sentence.text[m.start : m.end], m.label) for m in sentence.mentions]
