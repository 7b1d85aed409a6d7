"""The model alone against the pipeline, and against what its matrix products would take at the processor's peak."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.annotation.tagger import Tagger
from craft_ray.bench.baselines import PIPELINE_BATCHES, token_classification
from craft_ray.bench.inputs import Inputs
from craft_ray.bench.matrix_peak import matrix_peak, operations
from craft_ray.bench.measure import in_turn
from craft_ray.core.errors import RunError
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Precision
from craft_ray.model.engines.processor import capabilities
from craft_ray.model.inference import Model, choose_precision
from craft_ray.model.loading import find_model
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.windows import Windower, Windows


def model_stage(
    inputs: Inputs,
    precisions: Sequence[Precision],
    batches: Sequence[int] = PIPELINE_BATCHES,
    load_rival: Callable[[str, str, int], Any] = token_classification,
) -> dict[str, Any]:
    """The model alone against the pipeline, in turn; the exact mode in the pipeline's own windows too.

    Raises RunError if fp32 finds other spans than the pipeline.
    """
    sentences, tokens = sentences_of(inputs, inputs.sizes.stage)
    packed, single = (windows_of(inputs, sentences, pieces) for pieces in (inputs.checkpoint.window_pieces, 0))
    rival = load_rival(find_model(inputs.checkpoint.source), "cpu", inputs.cores)
    spans = [[(e["entity_group"], e["start"], e["end"]) for e in found] for found in rival(sentences, batch_size=8)]
    agreement = {p: _agreement(inputs, sentences, spans, p) for p in precisions}
    if agreement["fp32"] != 1:
        raise RunError(f"fp32 finds other spans than the pipeline: {agreement['fp32']:.6f} of sentences agree")
    models = {precision: Model.of(inputs.checkpoint, precision) for precision in precisions}
    runs: dict[str, Callable[[], object]] = {}
    for size in batches:
        runs[f"pipeline, batch {size}"] = partial(rival, sentences, batch_size=size)
    for precision, model in models.items():
        runs[precision] = partial(predict_windows, model, packed)
    runs["fp32, a sentence a window"] = partial(predict_windows, models["fp32"], single)
    speeds = in_turn(runs, tokens, inputs.sizes.repeats)
    return {
        "tokens": tokens,
        "default": default_precision(inputs.checkpoint),
        "sentences_with_the_pipelines_spans": agreement,
        "tokens_per_second": {name: speed.report() for name, speed in speeds.items()},
    }


def share_of_peak(inputs: Inputs, precisions: Sequence[Precision], stage: dict[str, Any]) -> dict[str, Any]:
    """The model stage against the time of its multiply-adds at the measured peak."""
    sentences, tokens = sentences_of(inputs, inputs.sizes.stage)
    windows = windows_of(inputs, sentences, inputs.checkpoint.window_pieces)
    special = len(inputs.checkpoint.prefix) + len(inputs.checkpoint.suffix)
    count = operations(inputs.checkpoint, windows.window_length + special)
    report = {}
    for precision in precisions:
        peak = matrix_peak(precision, inputs.cores, inputs.sizes.peak_seconds)  # type: ignore[arg-type]
        speed = stage["tokens_per_second"][precision]["median"]
        share = count / tokens * speed / peak
        report[precision] = {"peak_gflops": round(peak / 1e9), "share_of_peak": round(share, 3)}
    return {"operations_per_token": round(count / tokens), "formats": report}


def sentences_of(inputs: Inputs, tokens: int) -> tuple[list[str], int]:
    """Sentences of the texts with at least so many word pieces, and how many they have."""
    windower = Windower.of(inputs.checkpoint)
    chosen: list[str] = []
    count = 0
    for text in cycle(inputs.documents.texts):
        sentences = [text[a:b] for a, b in sentence_spans(text)]
        count += len(windower.subwords(sentences).token_ids)
        chosen += sentences
        if count >= tokens:
            break
    return chosen, count


def windows_of(inputs: Inputs, sentences: list[str], window_pieces: int) -> Windows:
    """The windows of sentences, of so many word pieces each at most; 0 for one sentence per window."""
    _, windows = replace(Windower.of(inputs.checkpoint), window_pieces=window_pieces)(sentences)
    return windows


def default_precision(checkpoint: Checkpoint) -> Precision:
    """The format that `auto` stands for on this machine's processor."""
    return choose_precision(checkpoint, "cpu", "auto", "auto")[0]


def precisions_here(checkpoint: Checkpoint) -> list[Precision]:
    """Number formats that are worth measuring on this machine's processor."""
    found: list[Precision] = ["fp32"]
    if capabilities() & {"avx512_bf16", "amx_bf16"}:
        found.append("bf16")
    return found + (["int8"] if default_precision(checkpoint) == "int8" else [])


def _agreement(
    inputs: Inputs, sentences: list[str], spans: list[list[tuple[str, int, int]]], precision: Precision
) -> float:
    """Share of sentences in which our spans, each sentence read alone and not refined, are the pipeline's."""
    tagger = Tagger(replace(inputs.checkpoint, config=inputs.checkpoint.config | {"refine_mentions": False}), precision)
    same = [
        [(e.label, e.start, e.end) for e in tagger.tag(sentence)] == theirs
        for sentence, theirs in zip(sentences, spans, strict=True)
    ]
    return float(np.mean(same))


def model_rate(inputs: Inputs, tokens: int) -> float:
    """Tokens per second of the model alone, as by default, on the documents of a job of so many tokens."""
    sentences, count = sentences_of(inputs, tokens)
    windows = windows_of(inputs, sentences, inputs.checkpoint.window_pieces)
    model = Model.of(inputs.checkpoint)
    return in_turn({"model": partial(predict_windows, model, windows)}, count, inputs.sizes.repeats)["model"].median


def predict_windows(model: Model, windows: Windows) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Run the model over windows and return its label ids and scores."""
    return model.predict(windows.token_ids, windows.window_length, windows.word_piece)
