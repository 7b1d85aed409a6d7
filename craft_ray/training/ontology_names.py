"""Names and synonyms of ontologies as replacements for mentions."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from craft_ray.concepts.obo import read_obo
from craft_ray.concepts.terms import EXACT, RELATED, Term
from craft_ray.core.errors import SettingsError
from craft_ray.training.augmentation import MAX_WORDS
from craft_ray.training.files import read_text


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
