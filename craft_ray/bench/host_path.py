"""Everything but the model, in one process on one core, and what each part of it takes."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.rows import PREDICTIONS
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.bench.inputs import SAMPLE, Inputs
from craft_ray.bench.measure import in_turn, rates, timed
from craft_ray.concepts.loading import load_grounder
from craft_ray.core.schema import Document
from craft_ray.core.settings import load_settings
from craft_ray.model.decode import Decoder, decode
from craft_ray.model.inference import Model
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tokens import TOKEN_COLUMNS, tokenize
from craft_ray.model.windows import Windower
from craft_ray.readers import read_shard
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage


def host_path(inputs: Inputs) -> dict[str, Any]:
    """Measure the host path on JSON lines, PubMed and JATS: for each, the result of `_HostPath.measure`.

    It is None for a format of which no files are given. The sample does not count as given: its
    documents are so short that their metadata cost more than their text.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    jsonl = [str(file) for file in inputs.jsonl("host", inputs.sizes.job // 4, 1)]
    files = inputs.files | {"jsonl": jsonl}
    given = {name: [file for file in some if not file.startswith(f"{SAMPLE}/")] for name, some in files.items()}
    return {name: _HostPath(inputs, given[name]).measure() if given.get(name) else None for name in FORMATS}


FORMATS = ("jsonl", "pubmed", "jats")


class _HostPath:
    """Reads files with all that a run does by default, and writes them with the model's answers, found beforehand.

    All files are taken, fewer if they have enough tokens, and over and over if they have too few.
    """

    def __init__(self, inputs: Inputs, files: Sequence[str]) -> None:
        settings, checkpoint = load_settings(), inputs.checkpoint
        self._storage = Storage.of(settings)
        self._windower, self._preprocessor = Windower.of(checkpoint), Preprocessor(ReadTask.of(checkpoint))
        grounder = load_grounder(
            settings, self._storage, checkpoint.tags.names, checkpoint.rescoring, checkpoint.descriptions
        )
        output = str(inputs.folder / "host-out")
        self._task = WriteTask(self._storage, output, "run", Decoder.of(checkpoint), grounder=grounder)
        self._grounder, self._repeats = grounder, inputs.sizes.repeats
        model = Model.of(checkpoint, threads=inputs.cores)
        self._files: list[str] = []
        self._answers: dict[str, pa.Table] = {}
        self._tokens = 0
        enough = inputs.sizes.job
        while self._tokens < enough // 4 or (self._tokens < enough and len(self._files) < len(files)):
            block = self._prepared(file := files[len(self._files) % len(files)], len(self._files))
            self._files.append(file)
            if file not in self._answers:
                self._answers[file] = predict_block(block, model).select(list(PREDICTIONS))
            self._tokens += pc.sum(block["n_tokens"]).as_py()

    def measure(self) -> dict[str, Any]:
        """Tokens, tokens per CPU second, and by part the microseconds of CPU time per token."""
        block = self._read()
        documents = [list(self._documents(file)) for file in self._files]
        entities, _ = decode(block, self._task.decoder)
        texts = block["text"].to_pylist()
        runs: dict[str, Callable[[], object]] = {
            "all": lambda: write_block(self._read(), self._task),
            "read": self._read,
            "documents": lambda: [list(self._documents(file)) for file in self._files],
            "sentences": lambda: [
                list(sentence_spans(d.text, s.start, s.end)) for some in documents for d in some for s in d.sections
            ],
            "tokens": lambda: [tokenize(some, self._windower) for some in documents],
            "decode": lambda: decode(block, self._task.decoder),
            "ids": lambda: self._grounder and self._grounder.ground(entities, texts),
        }
        clocked = {name: partial(timed, run, time.process_time) for name, run in runs.items()}
        seconds = in_turn(clocked, self._repeats)
        best = {name: min(values) * 1e6 / self._tokens for name, values in seconds.items()}
        parts = {
            "documents out of files": best["documents"],
            "sentences": best["sentences"],
            "word pieces and windows": best["tokens"] - best["sentences"],
            "checks, ledger and rows": best["read"] - best["documents"] - best["tokens"],
            "decode": best["decode"],
            "concept ids": best["ids"],
            "Parquet": best["all"] - best["read"] - best["decode"] - best["ids"],
        }
        return {
            "tokens": self._tokens,
            "tokens_per_second": rates(self._tokens, seconds["all"]),
            "microseconds_per_token": {name: round(value, 3) for name, value in parts.items()},
        }

    def _read(self) -> pa.Table:
        """The block for the write stage."""
        blocks = []
        for number, file in enumerate(self._files):
            block = self._prepared(file, number).drop_columns(list(TOKEN_COLUMNS))
            for name in PREDICTIONS:
                block = block.append_column(name, self._answers[file][name])
            blocks.append(block)
        return pa.concat_tables(blocks)

    def _prepared(self, file: str, number: int) -> pa.Table:
        """The tables of a file, with ids of their own each time that it is read."""
        with self._storage.open(file) as stream:
            block = pa.concat_tables(self._preprocessor.prepare(stream, Shard(file, 0, number=0)))
        column = block.schema.get_field_index("id_hash")
        return block.set_column(column, "id_hash", pc.add(block["id_hash"], number))

    def _documents(self, file: str) -> Iterator[Document]:
        with self._storage.open(file) as stream:
            yield from (item for item in read_shard(stream, file) if isinstance(item, Document))
