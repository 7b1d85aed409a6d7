"""Concepts of a run: the grounder, and the tables that describe the ids in `entities`."""

from itertools import chain
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
from craft_ray.core.schema import ANCESTORS, CONCEPTS, XREFS
from craft_ray.core.settings import Settings
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.storage.addresses import absolute
from craft_ray.storage.storage import Storage
from craft_ray.tables.records import read_records
from craft_ray.tables.writer import Tables


def described(lexicon: Lexicon) -> dict[str, Any]:
    """What a run's record says about a lexicon."""
    return {"fingerprint": lexicon.fingerprint, "sources": list(lexicon.sources)}


def with_absolute_ontologies(settings: Settings) -> Settings:
    """The settings for a run's record, as a later run may start in another folder."""
    named = (file if file == EMBEDDED else absolute(file) for file in settings.ontology)
    lists = (
        label + sign + absolute(path) for label, sign, path in (one.rpartition("=") for one in settings.dictionary)
    )
    return settings.model_copy(update={"ontology": tuple(named), "dictionary": tuple(lists)})


def with_dictionary_of(storage: Storage, output: str, settings: Settings) -> Settings:
    """The settings, with the dictionary of the last run that annotated: it has the ids of some mentions."""
    last = _last_with(storage, output, "inputs").get("settings") or {}
    return settings.model_copy(update={"dictionary": tuple(last.get("dictionary") or ())})


def with_ontologies_of(storage: Storage, output: str, settings: Settings) -> Settings:
    """The settings, with the ontologies of the last run that gave concept ids if they name none."""
    if settings.ontology or not settings.concepts:
        return with_absolute_ontologies(settings)
    last = _last_with(storage, output, "lexicon")
    of_output = (last.get("settings") or {}).get("ontology") or ()
    return with_absolute_ontologies(settings.model_copy(update={"ontology": tuple(of_output)}))


def load_run_grounder(
    requested: Settings, chosen: Settings, storage: Storage, checkpoint: Checkpoint
) -> Grounder | None:
    """The grounder of a run, or None if it gives no concept ids.

    chosen: the `requested` settings with the ontologies of the output (`with_ontologies_of`)

    Raises SettingsError if an ontology cannot be used.
    """
    labels = (checkpoint.tags.names, checkpoint.rescoring, checkpoint.descriptions)
    try:
        return load_grounder(chosen, storage, *labels)
    except SettingsError as error:
        if requested.ontology or not chosen.ontology:
            raise
        raise SettingsError(
            f"{error}; the last run on this output used it: name another with --ontology, or the shipped lexicon with "
            f"--ontology {EMBEDDED}"
        ) from error


def warn_of_other_rules(storage: Storage, tables: Tables, grounder: Grounder | None) -> None:
    """Warn if earlier documents were annotated with another lexicon or other thresholds: they stay as they are."""
    last = _last_with(storage, tables.output, "inputs")
    if not last or not tables.counts()["documents"]:
        return
    before, now = last["left_out"], left_out_by(grounder)
    if before != now:
        log.warning(
            "other mentions are left out than before (now %s, before %s): documents that are not annotated again stay "
            "as they are",
            *(", ".join(f"{name} {value}" for name, value in rule.items()) for rule in (now, before)),
        )
    lexicon = _last_with(storage, tables.output, "lexicon").get("lexicon")
    if grounder and lexicon and lexicon["fingerprint"] != grounder.lexicon.fingerprint:
        log.warning(
            "this run uses another lexicon than before: documents that are not annotated again keep their ids; "
            "`craft-ray ground` with the same --ontology gives all documents ids of this lexicon"
        )


def _last_with(storage: Storage, output: str, key: str) -> dict[str, Any]:
    """The newest record with a value for a key, or an empty one."""
    return next((record for record in read_records(storage, output) if record.get(key)), {})


def concepts_in_step(storage: Storage, output: str) -> bool:
    """True if `concepts` and `ancestors` describe the ids in `entities`, by the record of the last run.

    A run that died after its last commit leaves them behind; the next run completes them.
    """
    last = next(read_records(storage, output), None)
    return last is None or last.get("concepts_in_step") is True


def left_out_by(grounder: Grounder | None) -> dict[str, Any]:
    """The thresholds of a run, for its record."""
    if grounder is None:
        return {"min_score": 0, "thresholds": {}, "grounded_only": []}
    only = sorted(grounder.grounded_only)
    return {"min_score": grounder.min_score or 0, "thresholds": dict(grounder.thresholds), "grounded_only": only}


def write_concepts(tables: Tables, lexicon: Lexicon) -> None:
    """Make `concepts`, `ancestors` and `xrefs` describe the ids in `entities`.

    Reads only the files that this run has added and removed, if that is less than all of them, if the tables described
    the others by the same lexicon, and if no id may have vanished with a removed file.
    """
    ids = tables.concept_ids() if (known := _changed_ids(tables, lexicon)) is None else known
    index = lexicon.indices(pa.array(sorted(ids), pa.string()))
    tables.write_concepts(*concept_rows(lexicon, np.unique(index[index >= 0])))


def _changed_ids(tables: Tables, lexicon: Lexicon) -> set[str] | None:
    """All ids by the described ones and those in changed files; None if these do not tell."""
    if not _described_by(tables, lexicon) or (changed := tables.changed_concept_ids()) is None:
        return None
    added, removed = changed
    return tables.described_concept_ids() | added if removed <= added else None


def _described_by(tables: Tables, lexicon: Lexicon) -> bool:
    """True if `concepts` and `ancestors` described all ids by a lexicon when the run started."""
    earlier = (record for record in read_records(tables.storage, tables.output) if record["run_id"] != tables.run_id)
    last = next(earlier, None)
    if last is None or last.get("concepts_in_step") is not True:
        return False
    last_lexicon = next((record["lexicon"] for record in chain([last], earlier) if record.get("lexicon")), None)
    return last_lexicon is not None and last_lexicon["fingerprint"] == lexicon.fingerprint


def concept_rows(lexicon: Lexicon, numbers: NDArray[np.int64]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Rows of CONCEPTS and XREFS for some concepts and all their ancestors, and rows of ANCESTORS."""
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
    of_every = np.flatnonzero(np.isin(lexicon.xref_concept, every))
    xrefs = {
        "id": lexicon.ids.take(pa.array(lexicon.xref_concept[of_every])),
        "xref": lexicon.xrefs.take(pa.array(of_every)),
    }
    return (
        pa.table(concepts, schema=CONCEPTS),
        pa.table(ancestors, schema=ANCESTORS),
        pa.table(xrefs, schema=XREFS).sort_by([("id", "ascending"), ("xref", "ascending")]),
    )
