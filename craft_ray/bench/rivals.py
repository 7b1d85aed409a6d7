"""The programs that a user would run instead, as their own documentation shows them.

A Hugging Face `pipeline("token-classification")`, and Ray Data's batch-inference pattern: `map_batches` over an actor
that holds the pipeline.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray.data

from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.sentences import sentence_spans

PIPELINE_BATCHES = (1, 4, 8, 16, 32)
"""Batch sizes of the pipeline. It is compared at its best."""

COLUMNS = ("doc_id", "label", "start", "end", "mention", "score")

COMPARABLE = "craft-iob"
"""The model that is compared in place of one that gives a word several labels, or parts of words: no pipeline can."""


def comparable(checkpoint: Checkpoint) -> Checkpoint:
    """The model itself if the pipeline can run it."""
    words = checkpoint.tags.groups == 1 and not checkpoint.label_pieces
    return checkpoint if words else load_checkpoint(COMPARABLE)


def token_classification(folder: str, device: str, threads: int) -> Any:
    """The pipeline: fp32 on a CPU, fp16 on a GPU."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    dtype = torch.float32 if device == "cpu" else torch.float16
    return pipeline(
        "token-classification",
        model=AutoModelForTokenClassification.from_pretrained(folder, dtype=dtype),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        aggregation_strategy="first",
        device=device,
    )


class PipelineActor:
    def __init__(self, folder: str, threads: int, batch_size: int) -> None:
        self._pipeline = token_classification(folder, "cpu", threads)
        self._batch_size = batch_size

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        answers = self._pipeline(batch["sentence"].tolist(), batch_size=self._batch_size)
        rows = [
            (doc_id, e["entity_group"], offset + e["start"], offset + e["end"], e["word"], float(e["score"]))
            for doc_id, offset, entities in zip(batch["id"], batch["offset"].tolist(), answers, strict=True)
            for e in entities
        ]
        columns = zip(*rows, strict=True) if rows else [[]] * len(COLUMNS)
        return {
            name: np.array(values, object if values else None) for name, values in zip(COLUMNS, columns, strict=True)
        }


def split_document(row: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per sentence, by our own splitter."""
    text = row["text"]
    return [{"id": row["id"], "offset": a, "sentence": text[a:b]} for a, b in sentence_spans(text)]


def annotate_by_ray_data(files: Sequence[Path], output: Path, folder: str, threads: int, batch_size: int) -> None:
    """Read JSON lines, split, annotate, write Parquet."""
    output.mkdir(parents=True, exist_ok=True)
    ray.data.read_json(list(map(str, files)), lines=True).flat_map(split_document).map_batches(
        PipelineActor,
        fn_constructor_kwargs={"folder": folder, "threads": threads, "batch_size": batch_size},
        batch_size=32 * batch_size,
        compute=ray.data.ActorPoolStrategy(size=1),
    ).write_parquet(str(output))
