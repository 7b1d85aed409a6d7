"""The model alone, against the pipeline."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from craft_ray.annotation.tagger import Tagger
from craft_ray.bench.inputs import Inputs
from craft_ray.bench.measure import in_turn, rates, timed
from craft_ray.bench.rivals import PIPELINE_BATCHES, comparable, token_classification
from craft_ray.core.errors import RunError
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import Precision
from craft_ray.model.engines.processor import capabilities
from craft_ray.model.inference import Model, choose_precision
from craft_ray.model.loading import find_model
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tags import Predictions
from craft_ray.model.weights import unpacked_folder
from craft_ray.model.windows import Windower, Windows


def model_stage(
    inputs: Inputs,
    precisions: Sequence[Precision] | None = None,
    batches: Sequence[int] = PIPELINE_BATCHES,
    load_rival: Callable[[str, str, int], Any] = token_classification,
) -> dict[str, Any]:
    """Speeds of a comparable model in turn with the pipeline's; fp32 also in the pipeline's own windows.

    precisions: by default those that this processor is fast in, and fp32

    Raises RunError if fp32 finds other spans than the pipeline.
    """
    checkpoint = comparable(inputs.checkpoint)
    default = choose_precision(checkpoint, "cpu", "auto", "auto")[0]
    sentences, tokens = sentences_of(checkpoint, inputs.texts, inputs.sizes.stage)
    packed, single = (windows_of(checkpoint, sentences, pieces) for pieces in (checkpoint.window_pieces, 0))
    folder = unpacked_folder(find_model(checkpoint.source), inputs.folder / "pipeline-model")
    rival = load_rival(folder, "cpu", inputs.cores)
    spans = [[(e["entity_group"], e["start"], e["end"]) for e in found] for found in rival(sentences, batch_size=8)]
    runs: dict[str, Callable[[], object]] = {
        f"pipeline, batch {size}": partial(rival, sentences, batch_size=size) for size in batches
    }
    agreement = {}
    if precisions is None:
        bf16: list[Precision] = ["bf16"] if capabilities() & {"avx512_bf16", "amx_bf16"} else []
        precisions = list(dict.fromkeys(["fp32", *bf16, default]))
    for precision in precisions:
        tagger = Tagger(replace(checkpoint, config=checkpoint.config | {"refine_mentions": False}), precision)
        ours = [[(e.label, e.start, e.end) for e in tagger.tag(sentence)] for sentence in sentences]
        agreement[precision] = float(np.mean([own == theirs for own, theirs in zip(ours, spans, strict=True)]))
        model = Model.of(checkpoint, precision)
        runs[precision] = partial(predict_windows, model, packed)
        if precision == "fp32":
            runs["fp32, a sentence a window"] = partial(predict_windows, model, single)
    if agreement["fp32"] != 1:
        raise RunError(f"fp32 finds other spans than the pipeline: {agreement['fp32']:.6f} of sentences agree")
    seconds = in_turn({name: partial(timed, run) for name, run in runs.items()}, inputs.sizes.repeats)
    return {
        "model": checkpoint.source,
        "tokens": tokens,
        "default": default,
        "sentences_with_the_same_spans": agreement,
        "tokens_per_second": {name: rates(tokens, values) for name, values in seconds.items()},
    }


def model_rate(inputs: Inputs, tokens: int) -> float:
    """Tokens per second of the model alone, as by default, on the documents of a job of so many tokens."""
    sentences, count = sentences_of(inputs.checkpoint, inputs.texts, tokens)
    windows = windows_of(inputs.checkpoint, sentences, inputs.checkpoint.window_pieces)
    run = partial(timed, partial(predict_windows, Model.of(inputs.checkpoint), windows))
    return rates(count, in_turn({"model": run}, inputs.sizes.repeats)["model"])["median"]


def sentences_of(checkpoint: Checkpoint, texts: Sequence[str], tokens: int) -> tuple[list[str], int]:
    """Sentences of the texts with at least so many word pieces, and their number of word pieces."""
    windower = Windower.of(checkpoint)
    chosen: list[str] = []
    count = 0
    for text in cycle(texts):
        sentences = [text[a:b] for a, b in sentence_spans(text)]
        count += len(windower.subwords(sentences).token_ids)
        chosen += sentences
        if count >= tokens:
            break
    return chosen, count


def windows_of(checkpoint: Checkpoint, sentences: list[str], window_pieces: int) -> Windows:
    """Windows of at most so many word pieces; 0 for one sentence per window."""
    return replace(Windower.of(checkpoint), window_pieces=window_pieces)(sentences)[1]


def predict_windows(model: Model, windows: Windows) -> Predictions:
    return model.predict(windows.token_ids, windows.window_length, windows.unit_piece, windows.unit_inner)
