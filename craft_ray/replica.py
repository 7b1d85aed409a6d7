"""What each actor of the pool holds: a model. Blocks of token ids come in and leave with label ids and scores.

It reads the three token columns alone; all others pass through it untouched, text included.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from craft_ray.model import Model, ModelForm
from craft_ray.schema import TOKEN_COLUMNS


class Replica:
    """An actor of Ray Data's pool; made once an actor, called once a block."""

    def __init__(self, form: "ray.ObjectRef[ModelForm]", token_budget: int, threads: int) -> None:
        # Its arrays are views into the node's object store.
        self._model = Model(ray.get(form), token_budget=token_budget, threads=threads)

    def __call__(self, block: pa.Table) -> pa.Table:
        """One block of prepared rows."""
        return annotated(block, self._model)


def annotated(block: pa.Table, model: Model) -> pa.Table:
    """Append `label_ids` (a list of int8 a row, an item a word) and `scores` (float32)."""
    token_ids, window_length, word_piece = (block[name] for name in TOKEN_COLUMNS)
    pieces = pc.fill_null(pc.list_value_length(token_ids), 0).to_numpy().astype(np.int64)
    words = pc.fill_null(pc.list_value_length(word_piece), 0).to_numpy().astype(np.int64)
    first_piece = np.repeat(np.cumsum(pieces) - pieces, words)
    label, score = model.predict(
        pc.list_flatten(token_ids).to_numpy(),
        pc.list_flatten(window_length).to_numpy(),
        pc.list_flatten(word_piece).to_numpy() + first_piece,
    )
    offsets = pa.array(np.concatenate([[0], np.cumsum(words)]).astype(np.int32))
    block = block.append_column("label_ids", pa.ListArray.from_arrays(offsets, pa.array(label)))
    return block.append_column("scores", pa.ListArray.from_arrays(offsets, pa.array(score))).drop_columns(
        list(TOKEN_COLUMNS)
    )
