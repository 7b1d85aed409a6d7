"""Everything but the model, in one process on one core."""

import math
import os
import time
from collections.abc import Sequence
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
    """Tokens per CPU second for JSON lines, PubMed and JATS; of the sample where no such files are given."""
    jsonl = [str(file) for file in inputs.jsonl("host", inputs.sizes.job // 4, 1)]
    files = read_inputs([str(SAMPLE)])[1] | inputs.files | {"jsonl": jsonl}
    return {name: _measure(inputs, files[name]) for name in ("jsonl", "pubmed", "jats")}


def _measure(inputs: Inputs, files: Sequence[str]) -> dict[str, Any]:
    """Read files, over and over until there are enough tokens, and write them, with a stand-in for the model."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    stand_in = load_checkpoint(STAND_IN)
    model, storage = Model(prepare_model(stand_in)), Storage.of(load_settings())
    preprocessor = Preprocessor(ReadTask.of(stand_in))
    task = WriteTask(storage, str(inputs.folder / "host-out"), "run", Decoder.of(stand_in))

    def annotate(passes: int) -> int:
        """Returns the number of tokens."""
        blocks = []
        for number in range(passes):
            for file in files:
                with storage.open(file) as stream:
                    for block in preprocessor.prepare(stream, Shard(file, 0, number=0)):
                        column = block.schema.get_field_index("id_hash")
                        hashes = pc.add(block["id_hash"], number)  # with the same ids only one pass would be written
                        blocks.append(block.set_column(column, "id_hash", hashes))
        return write_block(predict_block(pa.concat_tables(blocks), model), task).tokens

    passes = math.ceil(inputs.sizes.job / 4 / annotate(1))
    tokens = annotate(passes)
    runs = {"all": partial(timed, partial(annotate, passes), time.process_time)}
    seconds = in_turn(runs, inputs.sizes.repeats, warm_up=False)["all"]
    return {"tokens": tokens, "tokens_per_second": rates(tokens, seconds)}
