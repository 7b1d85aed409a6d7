"""Blocks as the model returns them."""

import numpy as np
import pyarrow as pa

from craft_ray.core.schema import SECTIONS, Document


def labelled(documents: list[Document], tokens: dict[str, pa.ListArray], labels: np.ndarray) -> pa.Table:
    words = tokens["word_start"].value_lengths().to_numpy().astype(np.int64)
    offsets = pa.array(np.concatenate([[0], np.cumsum(words)]).astype(np.int32))
    return pa.table(
        tokens
        | {
            "doc_id": [document.doc_id for document in documents],
            "text": pa.array([document.text for document in documents], pa.string()),
            "sections": pa.array(
                [[{"name": s.name, "start": s.start, "end": s.end} for s in d.sections] for d in documents], SECTIONS
            ),
            "label_ids": pa.ListArray.from_arrays(offsets, pa.array(labels)),
            "scores": pa.ListArray.from_arrays(offsets, pa.array(np.full(len(labels), 0.5, np.float32))),
        }
    )
