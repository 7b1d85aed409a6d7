"""The model alone, against the pipeline."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from craft_ray.annotation.tagger import Tagger
from craft_ray.bench.baselines import PIPELINE_BATCHES, token_classification
from craft_ray.bench.inputs import Inputs
from craft_ray.bench.measure import in_turn, rates, timed
from craft_ray.core.errors import RunError
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Precision
from craft_ray.model.engines.processor import capabilities
from craft_ray.model.inference import Model, choose_precision
from craft_ray.model.loading import find_model
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tags import Predictions
from craft_ray.model.windows import Windower, Windows


def model_stage(
    inputs: Inputs,
    precisions: Sequence[Precision],
    batches: Sequence[int] = PIPELINE_BATCHES,
    load_rival: Callable[[str, str, int], Any] = token_classification,
) -> dict[str, Any]:
    """Speeds in turn with the pipeline's; fp32 also in the pipeline's own windows.

    Spans are compared with the pipeline's, or with fp32's if the model has groups of labels.

    Raises RunError if fp32 finds other spans than the pipeline.
    """
    sentences, tokens = sentences_of(inputs, inputs.sizes.stage)
    packed, single = (windows_of(inputs, sentences, pieces) for pieces in (inputs.checkpoint.window_pieces, 0))
    rival = load_rival(find_model(inputs.checkpoint.source), "cpu", inputs.cores)
    if inputs.checkpoint.tags.groups == 1:
        spans = [[(e["entity_group"], e["start"], e["end"]) for e in found] for found in rival(sentences, batch_size=8)]
    else:  # the pipeline has one label per word
        spans = _spans(inputs, sentences, "fp32")
    agreement = {precision: _agreement(inputs, sentences, spans, precision) for precision in precisions}
    if agreement["fp32"] != 1:
        raise RunError(f"fp32 finds other spans than the pipeline: {agreement['fp32']:.6f} of sentences agree")
    models = {precision: Model.of(inputs.checkpoint, precision) for precision in precisions}
    runs: dict[str, Callable[[], object]] = {
        f"pipeline, batch {size}": partial(rival, sentences, batch_size=size) for size in batches
    }
    runs |= {precision: partial(predict_windows, model, packed) for precision, model in models.items()}
    runs["fp32, a sentence a window"] = partial(predict_windows, models["fp32"], single)
    seconds = in_turn({name: partial(timed, run) for name, run in runs.items()}, inputs.sizes.repeats)
    return {
        "tokens": tokens,
        "default": default_precision(inputs.checkpoint),
        "sentences_with_the_same_spans": agreement,
        "tokens_per_second": {name: rates(tokens, values) for name, values in seconds.items()},
    }


def model_rate(inputs: Inputs, tokens: int) -> float:
    """Tokens per second of the model alone, as by default, on the documents of a job of so many tokens."""
    sentences, count = sentences_of(inputs, tokens)
    windows = windows_of(inputs, sentences, inputs.checkpoint.window_pieces)
    run = partial(timed, partial(predict_windows, Model.of(inputs.checkpoint), windows))
    return rates(count, in_turn({"model": run}, inputs.sizes.repeats)["model"])["median"]


def sentences_of(inputs: Inputs, tokens: int) -> tuple[list[str], int]:
    """Sentences of the texts with at least so many word pieces, and their number of word pieces."""
    windower = Windower.of(inputs.checkpoint)
    chosen: list[str] = []
    count = 0
    for text in cycle(inputs.texts):
        sentences = [text[a:b] for a, b in sentence_spans(text)]
        count += len(windower.subwords(sentences).token_ids)
        chosen += sentences
        if count >= tokens:
            break
    return chosen, count


def windows_of(inputs: Inputs, sentences: list[str], window_pieces: int) -> Windows:
    """Windows of at most so many word pieces; 0 for one sentence per window."""
    return replace(Windower.of(inputs.checkpoint), window_pieces=window_pieces)(sentences)[1]


def predict_windows(model: Model, windows: Windows) -> Predictions:
    return model.predict(windows.token_ids, windows.window_length, windows.unit_piece, windows.unit_inner)


def default_precision(checkpoint: Checkpoint) -> Precision:
    return choose_precision(checkpoint, "cpu", "auto", "auto")[0]


def precisions_here(checkpoint: Checkpoint) -> list[Precision]:
    """The number formats that this machine's processor is fast in, and fp32."""
    found: list[Precision] = ["fp32"]
    if capabilities() & {"avx512_bf16", "amx_bf16"}:
        found.append("bf16")
    return found + (["int8"] if default_precision(checkpoint) == "int8" else [])


def _agreement(
    inputs: Inputs, sentences: list[str], spans: list[list[tuple[str, int, int]]], precision: Precision
) -> float:
    """Share of sentences with the given spans."""
    found = _spans(inputs, sentences, precision)
    return float(np.mean([own == theirs for own, theirs in zip(found, spans, strict=True)]))


def _spans(inputs: Inputs, sentences: list[str], precision: Precision) -> list[list[tuple[str, int, int]]]:
    """Label, start and end of the mentions of each sentence alone, without refinement."""
    tagger = Tagger(replace(inputs.checkpoint, config=inputs.checkpoint.config | {"refine_mentions": False}), precision)
    return [[(e.label, e.start, e.end) for e in tagger.tag(sentence)] for sentence in sentences]
