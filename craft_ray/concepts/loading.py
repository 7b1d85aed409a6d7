"""The grounder that a run's settings describe."""

from collections.abc import Mapping
from types import MappingProxyType

from craft_ray.concepts import sources
from craft_ray.concepts.grounding import DEFAULT_PREFIXES, Grounder
from craft_ray.concepts.scores import shipped_scores
from craft_ray.core.descriptions import LabelDescription
from craft_ray.core.labels import canonical
from craft_ray.core.settings import Settings
from craft_ray.storage.storage import Storage


def prefixes_of(
    settings: Settings, described: Mapping[str, LabelDescription] = MappingProxyType({})
) -> dict[str, tuple[str, ...]]:
    """By label, the prefixes of the concepts that its mentions mean: by the settings, else by the model."""
    of_model = {label: one.prefixes for label, one in described.items() if one.prefixes}
    of_settings = {canonical(label): tuple(some) for label, some in settings.concept_prefixes.items()}
    return DEFAULT_PREFIXES | of_model | of_settings


def all_prefixes(by_label: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Every prefix once."""
    return tuple(dict.fromkeys(prefix for some in by_label.values() for prefix in some))


def load_grounder(
    settings: Settings, storage: Storage, described: Mapping[str, LabelDescription] = MappingProxyType({})
) -> Grounder | None:
    """The lexicon of the settings, ready to be asked; None where concepts are switched off or none can be had.

    described: the labels as the model describes them

    Raises SettingsError if an ontology cannot be used.
    """
    if not settings.concepts or (not settings.ontology and not sources.SHIPPED.is_file()):
        return None
    by_label = prefixes_of(settings, described)
    lexicon = sources.load_lexicon(storage, settings.ontology or (sources.EMBEDDED,), all_prefixes(by_label))
    only = frozenset(canonical(label) for label in settings.grounded_only)
    return Grounder(lexicon, shipped_scores(lexicon.prefixes, lexicon.has_corpus), by_label, only)
