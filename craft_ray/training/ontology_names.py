"""Names and synonyms of ontologies as replacements for mentions."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from craft_ray.core.errors import SettingsError
from craft_ray.model.wordpieces import word_splitter
from craft_ray.training.augmentation import MAX_WORDS, Name
from craft_ray.training.files import read_text

_NAME = re.compile(r'^(?:name: (?P<name>.+)|synonym: "(?P<synonym>(?:[^"\\]|\\.)+)" (?:EXACT|RELATED))', re.MULTILINE)


def ontology_names(files: Mapping[str, Sequence[str]]) -> dict[str, list[Name]]:
    """The distinct names of at most MAX_WORDS words in each label's OBO files, in order of occurrence.

    Raises SettingsError if a file cannot be read or a label has no names.
    """
    splitter = word_splitter()
    result = {}
    for label, paths in files.items():
        texts = (read_text(Path(path), "the ontology") for path in paths)
        found = dict.fromkeys(
            match["name"] or match["synonym"].replace('\\"', '"') for text in texts for match in _NAME.finditer(text)
        )
        names = (tuple(word for word, _ in splitter.pre_tokenize_str(name)) for name in found)
        result[label] = [name for name in names if 0 < len(name) <= MAX_WORDS]
        if not result[label]:
            raise SettingsError(f"there is no name of at most {MAX_WORDS} words in {', '.join(paths)}")
    return result
