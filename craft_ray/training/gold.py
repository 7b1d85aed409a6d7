"""A gold corpus in any of its forms, as tagged sentences."""

from itertools import islice
from pathlib import Path

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import canonical_tags
from craft_ray.training.corpora import TaggedSentence, read_iob
from craft_ray.training.craft import read_craft, texts_of, to_sentences
from craft_ray.training.standoff import read_standoff


def read_sentences(path: str | Path, ids: str | Path | None = None) -> list[TaggedSentence]:
    """Read a corpus: CRAFT as released, a standoff corpus, an IOB file, or a folder of IOB files (`*.tsv`).

    A standoff corpus is a folder of brat, or a file named .pubtator, .json or .xml (BioC), or .jsonl.

    Raises SettingsError if it is none of these.
    """
    place = Path(path)
    if place.is_dir() and texts_of(place) is not None:
        return to_sentences(read_craft(place, ids))
    if ids is not None:
        raise SettingsError(f"a list of articles goes with a folder of CRAFT, and {path} is none")
    if (documents := read_standoff(place)) is not None:
        sentences = to_sentences(documents)
        tags = iter(canonical_tags([tag for sentence in sentences for tag in sentence.tags]))
        return [TaggedSentence(sentence.words, list(islice(tags, len(sentence.words)))) for sentence in sentences]
    if not place.is_dir():
        return read_iob(place)
    if files := sorted(place.glob("*.tsv")):
        return [sentence for file in files for sentence in read_iob(file)]
    return to_sentences(read_craft(place))
