"""Every figure of the README's performance section, on the same inputs in one run: rivals and ours taken in turn.

Speeds are in tokens a second, where a token is a word piece of the documents, special tokens and padding not counted.
What is compared is first checked to agree.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.run import annotate
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.bench.baselines import PIPELINE_BATCHES, annotate_by_ray_data, token_classification
from craft_ray.bench.goals import check_goals
from craft_ray.bench.inputs import read_inputs, write_citations, write_jsonl
from craft_ray.bench.matrix_peak import matrix_peak, operations
from craft_ray.bench.measure import BenchSizes, Measured, in_turn, machine
from craft_ray.bench.memory import peak_memory
from craft_ray.bench.model_stage import predict_windows
from craft_ray.bench.whole_jobs import SLEEPERS, FirstRows, Job, same_rows, sentences_too_long
from craft_ray.core.connection import ray_session
from craft_ray.core.errors import RunError
from craft_ray.core.settings import load_settings
from craft_ray.model.checkpoint import EMBEDDED_FOLDER, Checkpoint
from craft_ray.model.decode import Decoder
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.precision import Precision, choose_precision
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tagger import Tagger
from craft_ray.model.windows import Windows, make_windows, tokenize_sentences
from craft_ray.storage.storage import Storage
from craft_ray.tables.ledger import Ledger, entries


def run_benchmark(
    inputs: Sequence[str], sizes: BenchSizes, on_step: Callable[[str], None] = lambda step: None
) -> dict[str, Any]:
    """Measure everything on the documents of the inputs, repeated under new ids as often as needed.

    Returns what bench.json holds: `machine`, then a part for each figure, with `goals` of ratio, goal and whether met.

    Raises SettingsError if the inputs hold no documents, RunError if what is compared does not agree.
    """
    texts, citations = read_inputs(inputs)
    checkpoint = load_checkpoint()
    with tempfile.TemporaryDirectory(prefix="craft-ray-bench-") as folder:
        bench = _Bench(texts, citations, checkpoint, Path(folder), sizes, os.cpu_count() or 1)
        result: dict[str, Any] = {"machine": machine(), "sizes": {n: getattr(sizes, n) for n in sizes.__slots__}}
        parts: list[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = [
            ("model_stage", bench.model_stage),
            ("matrix_peak", bench.matrix_peak),
            ("host_path", bench.host_path),
            ("whole_job", bench.whole_job),
            ("ten_times", bench.ten_times),
            ("sleepers", bench.sleepers),
            ("pubmed_file", bench.pubmed_file),
            ("start", bench.start),
        ]
        for name, part in parts:
            on_step(name)
            result[name] = part(result)
        result["goals"] = check_goals(result)
    return result


@dataclass(frozen=True, slots=True)
class _Bench:
    texts: list[str]
    citations: list[str]
    checkpoint: Checkpoint
    folder: Path
    sizes: BenchSizes
    cores: int

    def model_stage(self, _: dict[str, Any]) -> dict[str, Any]:
        """The model alone against the pipeline, in turn; the exact mode in the pipeline's own windows too."""
        sentences, tokens = self._sentences(self.sizes.stage)
        packed, single = (self._windows(sentences, pieces) for pieces in (self.checkpoint.window_pieces, 0))
        rival = token_classification(str(EMBEDDED_FOLDER), "cpu", self.cores)
        spans = [[(e["entity_group"], e["start"], e["end"]) for e in found] for found in rival(sentences, batch_size=8)]
        agreement = {p: self._agreement(sentences, spans, p) for p in self._precisions()}
        if agreement["fp32"] != 1:
            raise RunError(f"fp32 finds other spans than the pipeline: {agreement['fp32']:.6f} of sentences agree")
        models = {precision: Model.of(self.checkpoint, precision) for precision in self._precisions()}
        runs: dict[str, Callable[[], object]] = {}
        for size in PIPELINE_BATCHES:
            runs[f"pipeline, batch {size}"] = partial(rival, sentences, batch_size=size)
        for precision, model in models.items():
            runs[precision] = partial(predict_windows, model, packed)
        runs["fp32, a sentence a window"] = partial(predict_windows, models["fp32"], single)
        speeds = in_turn(runs, tokens, self.sizes.repeats)
        return {
            "tokens": tokens,
            "default": choose_precision(self.checkpoint, "cpu", "auto", "auto")[0],
            "sentences_with_the_pipelines_spans": agreement,
            "tokens_per_second": {name: speed.report() for name, speed in speeds.items()},
        }

    def matrix_peak(self, result: dict[str, Any]) -> dict[str, Any]:
        """The model stage against the time of its multiply-adds at the measured peak."""
        sentences, tokens = self._sentences(self.sizes.stage)
        windows = self._windows(sentences, self.checkpoint.window_pieces)
        special = len(self.checkpoint.prefix) + len(self.checkpoint.suffix)
        count = operations(self.checkpoint, windows.window_length + special)
        report = {}
        for precision in self._precisions():
            peak = matrix_peak(precision, self.cores, self.sizes.peak_seconds)  # type: ignore[arg-type]
            speed = result["model_stage"]["tokens_per_second"][precision]["median"]
            share = count / tokens * speed / peak
            report[precision] = {"peak_gflops": round(peak / 1e9), "share_of_peak": round(share, 3)}
        return {"operations_per_token": round(count / tokens), "formats": report}

    def host_path(self, _: dict[str, Any]) -> dict[str, Any]:
        """Everything but the model, in one process on one core."""
        stand_in = load_checkpoint(STAND_IN)
        file = self._jsonl("host", self.sizes.job // 4, 1)[0]
        model = Model(prepare_model(stand_in))
        decoder, storage = Decoder.of(stand_in), Storage(load_settings().s3)
        preparer = Preprocessor(ReadTask.of(stand_in, Ledger.of(entries([], [], [], [])), format="jsonl"))
        write = WriteTask(storage, str(self.folder / "host-out"), "run", decoder)
        seconds: dict[str, Measured] = {name: Measured() for name in ("prepare", "replica", "stage", "all")}
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        for _turn in range(self.sizes.repeats + 1):
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
                name: Measured([tokens / value for value in measured.values]).report()
                for name, measured in first.items()
            },
        }

    def whole_job(self, result: dict[str, Any]) -> dict[str, Any]:
        """The same files through Ray Data's pattern and through ours, in turn; first the exact mode, row for row."""
        files = self._jsonl("rival", self.sizes.rival, 4)
        too_long = sentences_too_long(files, self.checkpoint)
        folder = self.folder / "sentence-model"
        shutil.copytree(EMBEDDED_FOLDER, folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config |= {"window_pieces": 0, "score_calibration": [1.0, 0.0]}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        speeds = result["model_stage"]["tokens_per_second"]
        best = max(PIPELINE_BATCHES, key=lambda size: float(speeds[f"pipeline, batch {size}"]["median"]))
        seconds: dict[str, Measured] = {name: Measured() for name in ("pattern", "exact", "default")}
        tokens, rows = 0, {}
        for _ in range(self.sizes.repeats):
            output = self._fresh("pattern")
            with ray_session(load_settings()):
                began = time.perf_counter()
                annotate_by_ray_data(
                    [str(file) for file in files],
                    str(output),
                    str(folder),
                    replicas=1,
                    threads=self.cores,
                    batch_size=best,
                    gpu=False,
                )
                seconds["pattern"].values.append(time.perf_counter() - began)
            exact = self._job(files, model=str(folder), precision="fp32")
            tokens = exact.summary["tokens"]
            rows = same_rows(output, Path(exact.summary["tables"]["entities"]), too_long)
            default = self._job(files)
            seconds["exact"].values.append(exact.running)
            seconds["default"].values.append(default.running)
        return {
            "tokens": tokens,
            "rows": rows,
            "pipeline_batch": best,
            "note": "seconds from a connection to Ray to the last row written; ours also loads its model in them",
            "seconds": {name: measured.report() for name, measured in seconds.items()},
            "tokens_per_second": {
                name: Measured([tokens / value for value in measured.values]).report()
                for name, measured in seconds.items()
            },
        }

    def ten_times(self, _: dict[str, Any]) -> dict[str, Any]:
        """One job, and one of ten times its documents: time and memory."""
        once = self._job(self._jsonl("once", self.sizes.job, 4))
        ten = self._job(self._jsonl("ten", 10 * self.sizes.job, 40))
        return {"once": once.report(), "ten_times": ten.report()}

    def sleepers(self, _: dict[str, Any]) -> dict[str, Any]:
        """Replicas that answer at a fixed rate by sleeping: how far the host path feeds them."""
        report = {}
        for replicas in SLEEPERS:
            tokens = replicas * self.sizes.sleeper_rate * self.sizes.sleeper_seconds
            files = self._jsonl(f"sleepers-{replicas}", tokens, 4 * replicas)
            job = self._job(files, model=f"{STAND_IN}:{self.sizes.sleeper_rate}", replicas=replicas)
            share = job.summary["steady_tokens_per_second"] / (replicas * self.sizes.sleeper_rate)
            report[str(replicas)] = job.report() | {
                "share_of_proportion": round(share, 3),
                "host_path_full": share < 0.9,
            }
        free = self._job(
            self._jsonl("free", 8 * self.sizes.sleeper_rate * self.sizes.sleeper_seconds, 32), model=STAND_IN
        )
        return {"rate_of_one": self.sizes.sleeper_rate, "replicas": report, "without_sleep": free.report()}

    def pubmed_file(self, _: dict[str, Any]) -> dict[str, Any]:
        """One large citation file: memory of any worker, and whether rows are there before it is read to its end."""
        file = self.folder / "pubmed" / "pubmed.xml"
        file.parent.mkdir()
        write_citations(file, self.citations, self.sizes.citations)
        job = self._job([file], model=STAND_IN)
        return {"citations": self.sizes.citations, "megabytes": round(file.stat().st_size / 1e6)} | job.report()

    def start(self, _: dict[str, Any]) -> dict[str, Any]:
        """The command as a user gives it, from nothing to its first rows, with the embedded model and without."""
        files = self._jsonl("start", self.sizes.rival, 4)
        report = {}
        for model in ("embedded", STAND_IN):
            command = [sys.executable, "-m", "craft_ray", "annotate", *map(str, files), "--model", model, "--json"]
            output = self._fresh("start")
            began = time.perf_counter()
            process = subprocess.Popen(
                [*command, "--output", str(output)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            first = output / "documents" / "_delta_log" / f"{1:020}.json"
            while not first.exists() and process.poll() is None:
                time.sleep(0.02)
            seen = time.perf_counter() - began
            printed = process.communicate()[0]
            summary = json.loads(printed.splitlines()[-1])
            timeline = {"run_begins": round(seen - summary["timeline"]["first_commit"], 2)}
            timeline |= {
                step: round(timeline["run_begins"] + seconds, 2) for step, seconds in summary["timeline"].items()
            }
            report[model] = {"seconds_from_the_command": timeline | {"end": round(time.perf_counter() - began, 2)}}
        return report

    def _sentences(self, tokens: int) -> tuple[list[str], int]:
        """Sentences of the texts with at least so many word pieces, and how many they have."""
        tokenizer = Tokenizer.from_str(self.checkpoint.tokenizer)
        chosen: list[str] = []
        count = 0
        for text in cycle(self.texts):
            sentences = [text[a:b] for a, b in sentence_spans(text)]
            count += len(tokenize_sentences(tokenizer, sentences).token_ids)
            chosen += sentences
            if count >= tokens:
                break
        return chosen, count

    def _windows(self, sentences: list[str], window_pieces: int) -> Windows:
        pieces = tokenize_sentences(Tokenizer.from_str(self.checkpoint.tokenizer), sentences)
        return make_windows(pieces, self.checkpoint.max_tokens, window_pieces)

    def _precisions(self) -> list[Precision]:
        able = torch.cpu.get_capabilities()
        has_bf16 = able.get("avx512_bf16") or able.get("amx_bf16")
        fastest = choose_precision(self.checkpoint, "cpu", "auto", "auto")[0]
        found: list[Precision] = ["fp32"]
        return found + (["bf16"] if has_bf16 else []) + (["int8"] if fastest == "int8" else [])

    def _agreement(self, sentences: list[str], spans: list[list[tuple[str, int, int]]], precision: Precision) -> float:
        """Share of sentences in which our spans, each sentence read alone, are the pipeline's."""
        tagger = Tagger(self.checkpoint, precision)
        same = [
            [(e.label, e.start, e.end) for e in tagger.tag(sentence)] == theirs
            for sentence, theirs in zip(sentences, spans, strict=True)
        ]
        return float(np.mean(same))

    def _jsonl(self, name: str, tokens: int, shards: int) -> list[Path]:
        return write_jsonl(self.folder / name, self.texts, tokens, shards)

    def _fresh(self, name: str) -> Path:
        output = self.folder / f"{name}-out"
        shutil.rmtree(output, ignore_errors=True)
        return output

    def _job(self, files: Sequence[Path], **settings: Any) -> "Job":
        """A whole annotation run in a Ray of its own, watched."""
        output = self._fresh("job")
        with ray_session(load_settings()), peak_memory() as peaks:
            first = FirstRows()
            summary = annotate([str(file) for file in files], str(output), load_settings(**settings), first)
        return Job(summary, dict(peaks), first.before_the_end)
