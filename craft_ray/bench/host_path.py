"""Everything but the model, in one process on one core."""

import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.bench.inputs import Inputs, write_articles, write_citations
from craft_ray.bench.measure import Measured
from craft_ray.core.settings import load_settings
from craft_ray.model.decode import Decoder
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage

XML_PER_TOKEN = 16
"""Characters of PubMed's XML per word piece, roughly: most of a citation is no text."""

PARTS = ("prepare", "replica", "stage", "all")


def host_path(inputs: Inputs) -> dict[str, Any]:
    """Tokens per second of one core for JSON lines, in parts, and for PubMed and JATS as publishers give them."""
    tokens = inputs.sizes.job // 4
    folder = inputs.folder / "host-inputs"
    folder.mkdir()
    citations, articles = folder / "citations.xml.gz", folder / "articles.tar.gz"
    length = sum(map(len, inputs.documents.citations)) / len(inputs.documents.citations)
    write_citations(citations, inputs.documents.citations, math.ceil(tokens * XML_PER_TOKEN / length))
    write_articles(articles, inputs.documents.articles, tokens)
    files = {"jsonl": inputs.jsonl("host", tokens, 1)[0], "pubmed": citations, "jats": articles}
    measured = {name: _measure(file, inputs) for name, file in files.items()}
    rates = {
        name: {part: Measured([count / value for value in seconds[part].values]).report() for part in PARTS}
        for name, (count, seconds) in measured.items()
    }
    return {
        "tokens": measured["jsonl"][0],
        "tokens_per_second_per_core": rates["jsonl"],
        "by_input": {name: {"tokens": measured[name][0]} | rate for name, rate in rates.items()},
    }


def _measure(file: Path, inputs: Inputs) -> tuple[int, dict[str, Measured]]:
    """Tokens of a file, and the CPU seconds of each part."""
    stand_in = load_checkpoint(STAND_IN)
    model = Model(prepare_model(stand_in))
    decoder, storage = Decoder.of(stand_in), Storage.of(load_settings())
    preparer = Preprocessor(ReadTask.of(stand_in))
    write = WriteTask(storage, str(inputs.folder / "host-out"), "run", decoder)
    seconds = {part: Measured() for part in PARTS}
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for turn in range(inputs.sizes.repeats + 1):
        clock = [time.process_time()]
        with storage.open(str(file)) as stream:
            tables = [table for table in preparer.prepare(stream, Shard(file.name, 0, number=0)) if table.num_rows]
        clock.append(time.process_time())
        blocks = [predict_block(table, model) for table in tables]
        clock.append(time.process_time())
        written = [write_block(block, write) for block in blocks]
        clock.append(time.process_time())
        for part, taken in zip(PARTS, [*np.diff(clock), clock[-1] - clock[0]], strict=True):
            if turn:  # the first warms up
                seconds[part].values.append(float(taken))
    return sum(block.tokens for block in written), seconds
