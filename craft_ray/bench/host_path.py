"""Everything but the model, in one process on one core."""

import os
import time
from typing import Any

import numpy as np

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.bench.inputs import Inputs
from craft_ray.bench.measure import Measured
from craft_ray.core.settings import load_settings
from craft_ray.model.decode import Decoder
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.readers import ReadOptions
from craft_ray.storage.storage import Storage
from craft_ray.tables.ledger import Ledger, entries


def host_path(inputs: Inputs) -> dict[str, Any]:
    """Everything but the model, in one process on one core."""
    stand_in = load_checkpoint(STAND_IN)
    file = inputs.jsonl("host", inputs.sizes.job // 4, 1)[0]
    model = Model(prepare_model(stand_in))
    decoder, storage = Decoder.of(stand_in), Storage(load_settings().s3)
    preparer = Preprocessor(ReadTask.of(stand_in, Ledger.of(entries([], [], [], [])), options=ReadOptions("jsonl")))
    write = WriteTask(storage, str(inputs.folder / "host-out"), "run", decoder)
    seconds: dict[str, Measured] = {name: Measured() for name in ("prepare", "replica", "stage", "all")}
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for _turn in range(inputs.sizes.repeats + 1):
        clock = [time.process_time()]
        with storage.open(str(file)) as stream:
            tables = [table for table in preparer.prepare(stream, "shard", 0) if table.num_rows]
        clock.append(time.process_time())
        blocks = [predict_block(table, model) for table in tables]
        clock.append(time.process_time())
        written = [write_block(block, write) for block in blocks]
        clock.append(time.process_time())
        for name, taken in zip(seconds, [*np.diff(clock), clock[-1] - clock[0]], strict=True):
            seconds[name].values.append(float(taken))
    tokens = sum(block.tokens for block in written)
    first = {name: Measured(measured.values[1:]) for name, measured in seconds.items()}  # the first warms up
    return {
        "tokens": tokens,
        "tokens_per_second_per_core": {
            name: Measured([tokens / value for value in measured.values]).report() for name, measured in first.items()
        },
    }
