"""Everything but the model, in one process on one core."""

import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.bench.inputs import SAMPLE, Inputs, read_inputs
from craft_ray.bench.measure import in_turn, rates, timed
from craft_ray.core.settings import load_settings
from craft_ray.model.decode import Decoder
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage


def host_path(inputs: Inputs) -> dict[str, Any]:
    """Tokens per CPU second, in parts, for JSON lines, PubMed and JATS; of the sample where no such files are given."""
    jsonl = [str(file) for file in inputs.jsonl("host", inputs.sizes.job // 4, 1)]
    files = read_inputs([str(SAMPLE)])[1] | inputs.files | {"jsonl": jsonl}
    by_input = {name: _measure(inputs, files[name]) for name in ("jsonl", "pubmed", "jats")}
    return {"tokens_per_second_per_core": by_input["jsonl"], "by_input": by_input}


def _measure(inputs: Inputs, files: Sequence[str]) -> dict[str, Any]:
    """Read files, over and over until there are enough tokens, and write them."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    stand_in = load_checkpoint(STAND_IN)
    model, storage = Model(prepare_model(stand_in)), Storage.of(load_settings())
    preprocessor = Preprocessor(ReadTask.of(stand_in))
    task = WriteTask(storage, str(inputs.folder / "host-out"), "run", Decoder.of(stand_in))

    def read(number: int) -> pa.Table:
        blocks = []
        for file in files:
            with storage.open(file) as stream:
                blocks += [block for block in preprocessor.prepare(stream, Shard(file, 0, number=0)) if block.num_rows]
        block = pa.concat_tables(blocks)
        hashes = pc.add(block["id_hash"], number)  # with the same ids only one pass would be written
        return block.set_column(block.schema.get_field_index("id_hash"), "id_hash", hashes)

    passes = math.ceil(inputs.sizes.job / 4 / len(read(0)["token_ids"].combine_chunks().flatten()))
    block, tokens = pa.table({}), 0

    def prepare() -> None:
        nonlocal block
        block = pa.concat_tables([read(number) for number in range(passes)])

    def replica() -> None:
        nonlocal block
        block = predict_block(block, model)

    def stage() -> None:
        nonlocal tokens
        tokens = write_block(block, task).tokens

    parts: Sequence[Callable[[], None]] = (prepare, replica, stage)
    seconds = in_turn({part.__name__: partial(timed, part, time.process_time) for part in parts}, inputs.sizes.repeats)
    seconds["all"] = [sum(turn) for turn in zip(*seconds.values(), strict=True)]
    return {"tokens": tokens} | {name: rates(tokens, values) for name, values in seconds.items()}
