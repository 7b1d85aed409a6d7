"""Tables of documents with given entities, made as a run makes them, without a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from craft_ray.annotation.rows import TOKENIZED
from craft_ray.annotation.write import write_block
from craft_ray.core.labels import TAG_SET, TAGS
from craft_ray.core.settings import S3Settings
from craft_ray.model.decode import Decoder
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.writer import Tables

WORDS = ["Pax6", "mouse", "TNF-α", "binds", "𝛽-actin", "of", "naïve", "kinase", "in", "yeast"]
LABELLED = {"Pax6": "Protein", "mouse": "Taxon", "TNF-α": "Protein", "𝛽-actin": "Protein", "yeast": "Taxon"}


def document(number: int, words: int = 12) -> dict[str, Any]:
    """A prepared row: a title and an abstract; its number decides which words, some of which are mentions."""
    chosen = [WORDS[(number * 7 + place * 3 + place * place) % len(WORDS)] for place in range(words)]
    title = words // 3
    text = " ".join(chosen[:title]) + "\n" + " ".join(chosen[title:])
    starts = [sum(len(word) + 1 for word in chosen[:place]) for place in range(words)]
    ends = [start + len(word) for start, word in zip(starts, chosen, strict=True)]
    edge = starts[title]
    doc_id = f"PMID:{number:06}"
    return dict.fromkeys(TOKENIZED.names) | {
        "doc_id": doc_id,
        "version": 1,
        "content_hash": text,
        "key": identity.key(doc_id, text, ""),
        "shard": "shard",
        "status": "annotated",
        "title": text[: edge - 1],
        "year": 2000 + number % 25,
        "journal": "A journal",
        "text": text,
        "sections": [
            {"name": "title", "start": 0, "end": edge - 1},
            {"name": "abstract", "start": edge, "end": len(text)},
        ],
        "n_tokens": words,
        "id_hash": identity.id_hash(doc_id),
        "shard_number": 0,
        "word_sentence": [0] * title + [1] * (words - title),
        "word_start": starts,
        "word_end": ends,
        "sentence_start": [0, edge],
        "sentence_end": [edge - 1, len(text)],
        "label_ids": [TAGS.index(f"B-{LABELLED[word]}") if word in LABELLED else 0 for word in chosen],
        "scores": [round(0.5 + 0.04 * place, 2) for place in range(words)],
    }


def marked(doc_id: str, status: str) -> dict[str, Any]:
    """A prepared row without a text: of a document that was rejected or deleted."""
    empty: Sequence[int] = []
    lists = dict.fromkeys(("word_sentence", "word_start", "word_end", "sentence_start", "sentence_end"), empty)
    return (
        dict.fromkeys(TOKENIZED.names)
        | lists
        | {
            "doc_id": doc_id,
            "version": 1,
            "content_hash": "",
            "key": identity.key(doc_id, status, ""),
            "shard": "shard",
            "status": status,
            "reason": "bad_xml" if status == "rejected" else None,
            "id_hash": identity.id_hash(doc_id),
            "shard_number": 0,
            "label_ids": empty,
            "scores": empty,
        }
    )


def commit(
    output: str | Path, rows: Sequence[Mapping[str, Any]], keep_text: bool = True, storage: Storage | None = None
) -> WrittenBlock:
    """Add documents to an output's tables, in one commit of each."""
    storage = storage or Storage(S3Settings())
    schema = TOKENIZED.append(pa.field("label_ids", pa.list_(pa.int8()))).append(
        pa.field("scores", pa.list_(pa.float32()))
    )
    staged = write_block(
        pa.Table.from_pylist(list(rows), schema=schema),
        storage,
        str(output),
        "run",
        Decoder(TAG_SET),
        keep_text,
        ("label",),
    )
    Tables(storage, str(output)).append([staged])
    return staged
