"""The prediction stage: an actor holds a model, and blocks of token ids leave it with label ids and scores.

It reads only the three token columns; all others pass through untouched, text included.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from craft_ray.annotation import prometheus
from craft_ray.annotation.rows import PREDICTIONS, failure_row, rejection_row
from craft_ray.model.engines.engine import DeployedModel
from craft_ray.model.inference import Model
from craft_ray.model.tokens import TOKEN_COLUMNS, prediction_lists


class Replica:
    """An actor of Ray Data's pool, called once per block; on a GPU by two threads."""

    def __init__(self, form: "ray.ObjectRef[DeployedModel]", token_budget: int, threads: int) -> None:
        # Its arrays are views into the node's object store.
        self._model = Model(ray.get(form), token_budget=token_budget, threads=threads)

    def __call__(self, block: pa.Table) -> pa.Table:
        """Predict a TOKENIZED block; a document on which the model fails is rejected alone.

        If all documents of a larger block fail the model is broken, and the block becomes a row that ends the run.
        """
        try:
            with prometheus.busy_replica(pc.sum(pc.list_value_length(block["token_ids"])).as_py() or 0):
                return predict_block(block, self._model)
        except Exception as error:  # torch, OpenVINO and drivers raise many kinds
            rows = [block.slice(index, 1) for index in range(block.num_rows)]
            results = [self._predict_row(row) for row in rows]
            with_text = pc.sum(pc.greater(pc.list_value_length(block["token_ids"]), 0)).as_py()
            if sum(isinstance(result, Exception) for result in results) == with_text > 1:
                return _unpredicted(failure_row(f"the model fails on all documents: {type(error).__name__}: {error}"))
            return pa.concat_tables(
                result
                if isinstance(result, pa.Table)
                else _unpredicted(rejection_row(row, "failed", f"the model: {type(result).__name__}: {result}"))
                for row, result in zip(rows, results, strict=True)
            )

    def _predict_row(self, row: pa.Table) -> pa.Table | Exception:
        try:
            return predict_block(row, self._model)
        except Exception as error:
            return error


def predict_block(block: pa.Table, model: Model) -> pa.Table:
    """The block with PREDICTIONS in place of its token columns."""
    token_ids, window_length, unit_piece = (block[name] for name in TOKEN_COLUMNS)
    pieces = pc.fill_null(pc.list_value_length(token_ids), 0).to_numpy().astype(np.int64)
    units = pc.fill_null(pc.list_value_length(unit_piece), 0).to_numpy().astype(np.int64)
    first_piece = np.repeat(np.cumsum(pieces) - pieces, units)
    predictions = model.predict(
        pc.list_flatten(token_ids).to_numpy(),
        pc.list_flatten(window_length).to_numpy(),
        pc.list_flatten(unit_piece).to_numpy() + first_piece,
        pc.list_flatten(block["unit_inner"]).to_numpy(),
    )
    for name, column in prediction_lists(predictions, units).items():
        block = block.append_column(name, column)
    computed_in = pa.array([model.precision if count else None for count in units.tolist()], pa.string())
    return block.append_column("computed_in", computed_in).drop_columns(list(TOKEN_COLUMNS))


def _unpredicted(row: pa.Table) -> pa.Table:
    """A TOKENIZED row without units, with the columns of PREDICTIONS."""
    for name, kind in PREDICTIONS.items():
        row = row.append_column(name, pa.array([[] if pa.types.is_list(kind) else None], kind))
    return row.drop_columns(list(TOKEN_COLUMNS))
