"""Time and memory of `ground` over many entities: `python -m tests.scale.ground --help`.

Names are those of the lexicon that ships; one mention in eight is a word that no name fits. Each document has 150
mentions and a text of them. Prints one JSON object.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from craft_ray.concepts.loading import load_grounder
from craft_ray.core.labels import ONTOLOGY
from craft_ray.core.schema import DOCUMENTS, ENTITIES
from craft_ray.core.settings import S3Settings, Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.writer import Tables
from tests.scale.concepts import words
from tests.scale.measured import measured
from tests.support.outputs import append, filled

PER_DOCUMENT, AT_ONCE = 150, 300_000
"""Mentions of a document, and entities of one block of files."""


def mentions(chance: np.random.Generator, count: int) -> tuple[list[str], list[str]]:
    """Labels and mentions, of which seven in eight are names of concepts."""
    import random

    grounder = load_grounder(Settings(), Storage(S3Settings()))
    assert grounder is not None
    lexicon = grounder.lexicon
    label_of = {prefix: label for label, prefix in ONTOLOGY.items()}
    held = chance.choice(len(lexicon.ids), 20_000)
    unknown = random.Random(20261127)
    names = [(label_of[lexicon.prefixes[lexicon.ontology[n]]], lexicon.names[n].as_py() or "cell") for n in held]
    names += [(label, words(unknown)) for label in ONTOLOGY for _ in range(len(held) // 8 // len(ONTOLOGY))]
    chosen = [names[n] for n in chance.zipf(1.3, count) % len(names)]
    return [label for label, _ in chosen], [mention for _, mention in chosen]


def make(output: Path, entities: int) -> None:
    """An output of so many entities, without ids."""
    chance, storage = np.random.default_rng(20261127), Storage(S3Settings())
    tables = Tables(storage, str(output))
    for at in range(0, entities, AT_ONCE):
        count = min(AT_ONCE, entities - at)
        labels, said = mentions(chance, count)
        first = at // PER_DOCUMENT
        document = first + np.arange(count) // PER_DOCUMENT
        texts = [" ".join(said[n : n + PER_DOCUMENT]) for n in range(0, count, PER_DOCUMENT)]
        ids = pa.array([f"PMID:{n:08}" for n in document])
        number = np.arange(count, dtype=np.int32)
        found = {"doc_id": ids, "label": labels, "mention": said, "start": number, "end": number}
        rows = filled(found, ENTITIES, count)
        about = {"doc_id": ids.unique(), "status": "annotated", "text": texts}
        append(tables, storage, filled(about, DOCUMENTS, len(texts)), rows)


def main() -> None:
    """Make an output, ground it, ground it again, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        make(output, given.entities)
        told = {name: measured("ground", str(output)) for name in ("first", "again")}
        for one in told.values():
            one["said"] = {name: one["said"][name] for name in ("status", "files", "entities")}
        print(json.dumps(told))


if __name__ == "__main__":
    main()
