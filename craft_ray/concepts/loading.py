"""Create the grounder that a run's settings and its model describe."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from craft_ray.concepts import lexicon_files
from craft_ray.concepts.dictionary_files import LoadedDictionary, load_dictionary
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.lexicon import Lexicon, merged
from craft_ray.concepts.rescoring import Rescoring
from craft_ray.concepts.scores import shipped_scores
from craft_ray.concepts.terms import GENES
from craft_ray.core.descriptions import CRAFT_PREFIXES, LabelDescription
from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import canonical, is_craft
from craft_ray.core.settings import Settings
from craft_ray.core.validation import nearest
from craft_ray.storage.storage import Storage

NO_DESCRIPTIONS: Mapping[str, LabelDescription] = MappingProxyType({})


def prefixes_by_label(
    settings: Settings, described: Mapping[str, LabelDescription] = NO_DESCRIPTIONS, labels: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Prefixes of the concepts of each label. Settings override the model, which overrides the defaults.

    labels: all labels of the model. Unless they are CRAFT's, `Gene` does not mean cellular components
    """
    of_model = {label: one.prefixes for label, one in described.items() if one.prefixes}
    of_settings = {canonical(label): tuple(some) for label, some in settings.concept_prefixes.items()}
    defaults = CRAFT_PREFIXES if is_craft(labels) else {n: p for n, p in CRAFT_PREFIXES.items() if n != "Gene"}
    return defaults | of_model | of_settings


def all_prefixes(by_label: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The prefixes of a lexicon: those of labels, and that of genes."""
    return tuple(dict.fromkeys((*(prefix for some in by_label.values() for prefix in some), GENES)))


def load_grounder(
    settings: Settings,
    storage: Storage,
    labels: Sequence[str] = (),
    rescoring: Any = None,
    described: Mapping[str, LabelDescription] = NO_DESCRIPTIONS,
) -> Grounder | None:
    """Load the lexicon of the settings and call `make_grounder`. None if concepts are off or there is no lexicon."""
    lexicon = None
    dictionary = load_dictionary(storage, settings.dictionary) if settings.dictionary else None
    if settings.concepts and (settings.ontology or lexicon_files.SHIPPED.is_file()):
        prefixes = all_prefixes(prefixes_by_label(settings, described, labels))
        lexicon = lexicon_files.load_lexicon(storage, settings.ontology or (lexicon_files.EMBEDDED,), prefixes)
    if dictionary is not None and settings.concepts:
        lexicon = merged(dictionary.lexicon, lexicon) if lexicon else dictionary.lexicon
    return make_grounder(settings, lexicon, labels, rescoring, described, dictionary)


def make_grounder(
    settings: Settings,
    lexicon: Lexicon | None,
    labels: Sequence[str] = (),
    rescoring: Any = None,
    described: Mapping[str, LabelDescription] = NO_DESCRIPTIONS,
    dictionary: LoadedDictionary | None = None,
) -> Grounder | None:
    """Combine a lexicon with the settings and the model. None without a lexicon.

    lexicon:   has the concepts of the dictionary
    labels:    labels of the model
    rescoring: `rescoring` of the model's config.json; None keeps its scores
    described: the model's descriptions of its labels

    Raises SettingsError if `grounded_only` names an unknown label or one without names in the lexicon, if `min_score`
    or a dictionary is set without a lexicon, and if `rescoring` is invalid.
    """
    grounded_only = frozenset(map(canonical, settings.grounded_only))
    grounder = None
    if lexicon is not None:
        try:
            regression = None if rescoring is None else Rescoring.from_json(rescoring)
        except ValueError as error:
            raise SettingsError(f"the model's config.json: {error}") from error
        scores = shipped_scores(lexicon.prefixes, lexicon.has_corpus)
        prefixes = prefixes_by_label(settings, described, labels)
        for label, own in (dictionary.prefixes if dictionary else {}).items():
            prefixes[label] = tuple(dict.fromkeys((*own, *prefixes.get(label, ()))))
        names = dictionary.dictionary if dictionary else None
        grounder = Grounder(lexicon, scores, prefixes, grounded_only, regression, settings.min_score, names)
    elif settings.dictionary:
        raise SettingsError("dictionary: its mentions get their ids as concepts, and concepts are off")
    elif settings.min_score is not None:
        raise SettingsError("min_score: mentions are scored by the lexicon, and concepts are off")
    for label in sorted(grounded_only.difference(grounder.known_labels if grounder else ())):
        if label in labels:
            raise SettingsError(f"grounded_only {label}: no names are known for it, so all its mentions would go")
        raise SettingsError(f"grounded_only {label}: the model has no such label{nearest(label, labels)}")
    return grounder
