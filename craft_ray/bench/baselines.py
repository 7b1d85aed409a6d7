"""Baselines: the programs that a user would run instead, written as their own documentation shows it.

A Hugging Face `pipeline("token-classification")` in a loop, and Ray Data's batch-inference pattern, in which
`map_batches` runs an actor that holds the pipeline.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray.data

from craft_ray.model.sentences import sentence_spans

PIPELINE_BATCHES = (1, 4, 8, 16, 32)
"""Batch sizes of which the pipeline's best counts."""


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
    """Ray Data's documented actor: the model in `__init__`, a batch of rows in `__call__`."""

    def __init__(self, folder: str, device: str, threads: int, batch_size: int) -> None:
        self._pipeline = token_classification(folder, device, threads)
        self._batch_size = batch_size

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Rows of entities for rows of sentences."""
        rows: dict[str, list[Any]] = {name: [] for name in ("doc_id", "label", "start", "end", "mention", "score")}
        answers = self._pipeline(batch["sentence"].tolist(), batch_size=self._batch_size)
        for doc_id, offset, found in zip(batch["id"], batch["offset"], answers, strict=True):
            for entity in found:
                rows["doc_id"].append(doc_id)
                rows["label"].append(entity["entity_group"])
                rows["start"].append(int(offset) + entity["start"])
                rows["end"].append(int(offset) + entity["end"])
                rows["mention"].append(entity["word"])
                rows["score"].append(float(entity["score"]))
        return {name: np.array(values, dtype=object if values else None) for name, values in rows.items()}


def split_document(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each sentence, by the splitter that we use ourselves."""
    text = row["text"]
    return [{"id": row["id"], "offset": a, "sentence": text[a:b]} for a, b in sentence_spans(text)]


def annotate_by_ray_data(
    files: Sequence[str], output: str, folder: str, *, replicas: int, threads: int, batch_size: int, gpu: bool
) -> None:
    """Read JSON lines, split, annotate, write Parquet."""
    dataset = (
        ray.data.read_json(list(files), lines=True)
        .flat_map(split_document)
        .map_batches(
            PipelineActor,
            fn_constructor_kwargs={
                "folder": folder,
                "device": "cuda" if gpu else "cpu",
                "threads": threads,
                "batch_size": batch_size,
            },
            batch_size=32 * batch_size,
            compute=ray.data.ActorPoolStrategy(size=replicas),
            num_gpus=1 if gpu else None,
        )
    )
    Path(output).mkdir(parents=True, exist_ok=True)
    dataset.write_parquet(output)
