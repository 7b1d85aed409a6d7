"""The tables `concepts` and `ancestors` of an output: what the ids in `entities` are, and the classes above them."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.hierarchy import lineage
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.lexicon_files import EMBEDDED
from craft_ray.concepts.loading import load_grounder
from craft_ray.core.errors import SettingsError
from craft_ray.core.logs import log
from craft_ray.core.schema import ANCESTORS, CONCEPTS
from craft_ray.core.settings import Settings
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.storage.addresses import absolute
from craft_ray.storage.storage import Storage
from craft_ray.tables.records import read_records
from craft_ray.tables.writer import Tables


def described(lexicon: Lexicon) -> dict[str, Any]:
    """A lexicon as a run's record has it."""
    return {"fingerprint": lexicon.fingerprint, "sources": list(lexicon.sources)}


def with_absolute_ontologies(settings: Settings) -> Settings:
    """The settings as a run records them, for a later one, which may begin in another folder."""
    named = (file if file == EMBEDDED else absolute(file) for file in settings.ontology)
    return settings.model_copy(update={"ontology": tuple(named)})


def with_ontologies_of(storage: Storage, output: str, settings: Settings) -> Settings:
    """The settings with the ontologies that the output's ids are by, if they name none themselves."""
    if settings.ontology or not settings.concepts:
        return with_absolute_ontologies(settings)
    last = _last_with(storage, output, "lexicon")
    of_output = (last.get("settings") or {}).get("ontology") or ()
    return with_absolute_ontologies(settings.model_copy(update={"ontology": tuple(of_output)}))


def load_run_grounder(asked: Settings, chosen: Settings, storage: Storage, checkpoint: Checkpoint) -> Grounder | None:
    """The grounder of a run.

    chosen: the settings that were `asked` for, with the ontologies of the output (`with_ontologies_of`)

    Raises SettingsError if an ontology cannot be used.
    """
    labels = (checkpoint.tags.names, checkpoint.rescoring, checkpoint.descriptions)
    try:
        return load_grounder(chosen, storage, *labels)
    except SettingsError as error:
        if asked.ontology or not chosen.ontology:
            raise
        raise SettingsError(
            f"{error}; the last run gave the output's ids by it: name another with --ontology, or the lexicon that "
            f"ships with --ontology {EMBEDDED}"
        ) from error


def warn_of_other_rules(storage: Storage, tables: Tables, grounder: Grounder | None) -> None:
    """Log a warning if earlier documents lack other mentions, or have ids by another lexicon: they stay as they are."""
    last = _last_with(storage, tables.output, "inputs")
    if not last or not tables.counts()["documents"]:
        return
    before, now = last.get("left_out") or left_out_by(None), left_out_by(grounder)
    if before != now:
        log.warning(
            "other mentions are left out than before (%s in place of %s): documents that are not annotated again stay "
            "as they are",
            *(", ".join(f"{name} {value}" for name, value in rule.items()) for rule in (now, before)),
        )
    lexicon = _last_with(storage, tables.output, "lexicon").get("lexicon")
    if grounder and lexicon and lexicon["fingerprint"] != grounder.lexicon.fingerprint:
        log.warning(
            "ids are given by another lexicon than before: documents that are not annotated again keep theirs; "
            "`craft-ray ground` with the same --ontology gives all of them ids by one"
        )


def _last_with(storage: Storage, output: str, key: str) -> dict[str, Any]:
    """The record of an output's last run that has a value for a key; empty if none has."""
    return next((record for record in read_records(storage, output) if record.get(key)), {})


def concepts_in_step(storage: Storage, output: str) -> bool:
    """True if `concepts` and `ancestors` tell of the ids that `entities` has, as the last run's record says.

    A run that dies after its last commit leaves them behind, and then another completes them.
    """
    last = next(read_records(storage, output), None)
    return last is None or last.get("concepts_in_step") is True


def left_out_by(grounder: Grounder | None) -> dict[str, Any]:
    """The rule by which a run leaves mentions out, as its record has it."""
    lowest = grounder.score_threshold if grounder else 0
    return {"min_score": lowest, "grounded_only": sorted(grounder.grounded_only) if grounder else []}


def write_concepts(tables: Tables, lexicon: Lexicon) -> None:
    """Bring `concepts` and `ancestors` in step with the ids that `entities` has."""
    ids = tables.concept_ids()
    number = lexicon.indices(ids)
    held = number >= 0
    concepts, ancestors = concept_rows(lexicon, np.unique(number[held]))
    tables.write_concepts(concepts, ancestors)


def concept_rows(lexicon: Lexicon, numbers: NDArray[np.int64]) -> tuple[pa.Table, pa.Table]:
    """Rows of CONCEPTS and ANCESTORS for some concepts and, in CONCEPTS, for all classes above them."""
    concept, ancestor, distance = lineage(lexicon, numbers)
    every = np.unique(ancestor)
    every = every[pc.sort_indices(lexicon.ids.take(pa.array(every))).to_numpy()]
    version = {source["prefix"]: source["version"] for source in reversed(lexicon.sources)}
    prefixes = [lexicon.prefixes[n] for n in lexicon.ontology[every].tolist()]
    concepts = {
        "id": lexicon.ids.take(pa.array(every)),
        "name": lexicon.names.take(pa.array(every)),
        "ontology": prefixes,
        "version": [version.get(prefix) for prefix in prefixes],
    }
    ancestors = {
        "id": lexicon.ids.take(pa.array(concept)),
        "ancestor": lexicon.ids.take(pa.array(ancestor)),
        "distance": distance,
    }
    return pa.table(concepts, schema=CONCEPTS), pa.table(ancestors, schema=ANCESTORS)
