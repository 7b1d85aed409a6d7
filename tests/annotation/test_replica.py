"""The number format of a replica's answers reaches the account of the run."""

import io
import json
from pathlib import Path

from craft_ray.annotation.account import Account
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.model.decode import Decoder
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Shard
from tests.model.engines.test_torch import overflowing
from tests.support.outputs import STORAGE


def test_documents_are_counted_by_number_format(tiny_checkpoint: Path, tmp_path: Path):
    sound = load_checkpoint(str(tiny_checkpoint))
    account = Account(Arrivals([Shard("x.jsonl", 10, number=0)]))
    for checkpoint, texts in ((sound, ["Pax6 acts.", ""]), (overflowing(sound, 1e6), ["Calcium.", "The mouse."])):
        lines = b"".join(json.dumps({"id": text, "text": text}).encode() + b"\n" for text in texts)
        task = ReadTask.of(checkpoint)
        (rows,) = Preprocessor(task).prepare(io.BytesIO(lines), Shard("x.jsonl", 0, number=0))
        answered = predict_block(rows, Model(prepare_model(checkpoint, "cpu", "fp16", "torch")))
        block = write_block(answered, WriteTask(STORAGE, str(tmp_path), "run", Decoder.of(checkpoint)))
        account.receive(block)
        account.commit([block])
    assert account.precisions == {"bf16": 2, "fp16": 1}
    assert account.committed.statuses["rejected"] == 1  # the one without a text, which no model reads
