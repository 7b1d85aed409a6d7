"""The lexicon and the grounder that a run's settings and its model describe."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from craft_ray.concepts import lexicon_files
from craft_ray.concepts.grounding import DEFAULT_PREFIXES, Grounder
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.rescoring import Rescoring
from craft_ray.concepts.scores import shipped_scores
from craft_ray.core.descriptions import LabelDescription
from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import canonical, is_craft
from craft_ray.core.settings import Settings
from craft_ray.core.validation import nearest
from craft_ray.storage.storage import Storage

NOT_DESCRIBED: Mapping[str, LabelDescription] = MappingProxyType({})


def prefixes_by_label(
    settings: Settings, described: Mapping[str, LabelDescription] = NOT_DESCRIBED, labels: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """By label, the prefixes of the concepts that its mentions mean: by the settings, else by the model.

    labels: those of the model; a `Gene` among labels that are not CRAFT's is no cellular component
    """
    of_model = {label: one.prefixes for label, one in described.items() if one.prefixes}
    of_settings = {canonical(label): tuple(some) for label, some in settings.concept_prefixes.items()}
    known = DEFAULT_PREFIXES if is_craft(labels) else {n: p for n, p in DEFAULT_PREFIXES.items() if n != "Gene"}
    return known | of_model | of_settings


def all_prefixes(by_label: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Every prefix once."""
    return tuple(dict.fromkeys(prefix for some in by_label.values() for prefix in some))


def load_grounder(
    settings: Settings,
    storage: Storage,
    labels: Sequence[str] = (),
    rescoring: Any = None,
    described: Mapping[str, LabelDescription] = NOT_DESCRIBED,
) -> Grounder | None:
    """`make_grounder` the lexicon of the settings; None where concepts are switched off or no lexicon can be had.

    Raises SettingsError as `make_grounder` does, and if an ontology cannot be used.
    """
    lexicon = None
    if settings.concepts and (settings.ontology or lexicon_files.SHIPPED.is_file()):
        prefixes = all_prefixes(prefixes_by_label(settings, described, labels))
        lexicon = lexicon_files.load_lexicon(storage, settings.ontology or (lexicon_files.EMBEDDED,), prefixes)
    return make_grounder(settings, lexicon, labels, rescoring, described)


def make_grounder(
    settings: Settings,
    lexicon: Lexicon | None,
    labels: Sequence[str] = (),
    rescoring: Any = None,
    described: Mapping[str, LabelDescription] = NOT_DESCRIBED,
) -> Grounder | None:
    """A lexicon, ready to be asked about a model's mentions; None without a lexicon.

    labels:    the labels that the model finds
    rescoring: how its mentions are scored anew, as its config.json has it; None if they are not
    described: the labels as the model describes them

    Raises SettingsError if the settings name a label whose mentions would all be left out, or one that there is not, if
    they ask for a lowest score where no lexicon gives one, and for a rescoring that is none.
    """
    only = frozenset(map(canonical, settings.grounded_only))
    grounder = None
    if lexicon is not None:
        try:
            fitted = None if rescoring is None else Rescoring.from_json(rescoring)
        except ValueError as error:
            raise SettingsError(f"the model's config.json: {error}") from error
        scores = shipped_scores(lexicon.prefixes, lexicon.has_corpus)
        prefixes = prefixes_by_label(settings, described, labels)
        grounder = Grounder(lexicon, scores, prefixes, only, fitted, settings.min_score)
    elif settings.min_score is not None:
        raise SettingsError("min_score: mentions are scored by the lexicon, and concepts are off")
    for label in sorted(only.difference(grounder.known_labels if grounder else ())):
        if label in labels:
            raise SettingsError(f"grounded_only {label}: no names are known for it, so all its mentions would go")
        raise SettingsError(f"grounded_only {label}: the model has no such label{nearest(label, labels)}")
    return grounder
