"""The share of ids in annotating texts, with and without them in turn, in one process: `python -m tests.scale.ids -h`.

Prints one JSON object; seconds are CPU time, the median of the turns. With the stand-in as the model, most mentions are
words that no name fits, which cost most.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.concepts.loading import load_grounder
from craft_ray.core.settings import Settings
from craft_ray.model.decode import Decoder
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage
from craft_ray.tables.ledger import Ledger, entries


def main() -> None:
    """Annotate the texts in turns, and print what both ways took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+", help="plain text, a document per file")
    parser.add_argument("--model", default="craft")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    settings, checkpoint = Settings(), load_checkpoint(given.model)
    storage = Storage(settings.s3)
    grounder = load_grounder(settings, storage, checkpoint.tags.names, checkpoint.rescoring, checkpoint.descriptions)
    preprocessor = Preprocessor(ReadTask.of(checkpoint, Ledger.of(entries([], [], [], []))))
    model = Model(prepare_model(checkpoint))
    taken: dict[str, list[float]] = {"without": [], "with": []}
    tokens = mentions = 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.jsonl"
        lines = [json.dumps({"id": text.stem, "text": text.read_text(encoding="utf-8")}) for text in given.texts]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        plain = WriteTask(storage, folder, "run", Decoder.of(checkpoint))
        for turn in range(given.turns + 1):
            for name, write in (("without", plain), ("with", replace(plain, grounder=grounder))):
                began = time.process_time()
                with file.open("rb") as stream:
                    blocks = [
                        table for table in preprocessor.prepare(stream, Shard(file.name, 0, number=0)) if table.num_rows
                    ]
                written = [write_block(predict_block(block, model), write) for block in blocks]
                if turn:  # the first warms up
                    taken[name].append(time.process_time() - began)
                tokens = sum(block.tokens for block in written)
                mentions = sum(sum(block.labels.values()) for block in written)
    without, with_ids = (statistics.median(taken[name]) for name in ("without", "with"))
    told = {"tokens": tokens, "mentions": mentions, "without_s": round(without, 3), "with_s": round(with_ids, 3)}
    print(json.dumps(told | {"time_with_ids": round(with_ids / without, 3)}))


if __name__ == "__main__":
    main()
