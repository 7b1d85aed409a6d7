"""Names from ontologies, as words, to put into training sentences."""

import gzip
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from craft_ray.core.errors import SettingsError
from craft_ray.model.windows import word_splitter
from craft_ray.training.augmentation import MOST_WORDS

_NAME = re.compile(r'^(?:name: (?P<name>.+)|synonym: "(?P<synonym>(?:[^"\\]|\\.)+)" (?:EXACT|RELATED))', re.MULTILINE)


def ontology_names(files: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[str, ...]]]:
    """The names and synonyms of each label's OBO files as words, short ones alone, each once in order of occurrence.

    Raises SettingsError if a file cannot be read or holds no name.
    """
    splitter = word_splitter()
    result = {}
    for label, paths in files.items():
        found = dict.fromkeys(name for path in paths for name in _names(Path(path)))
        words = (tuple(word for word, _ in splitter.pre_tokenize_str(name)) for name in found)
        result[label] = [name for name in words if 0 < len(name) <= MOST_WORDS]
        if not result[label]:
            raise SettingsError(f"there is no name of at most {MOST_WORDS} words in {', '.join(paths)}")
    return result


def _names(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the ontology {path}: {error}") from error
    return [match["name"] or match["synonym"].replace('\\"', '"') for match in _NAME.finditer(text)]
