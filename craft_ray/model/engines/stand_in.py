"""A stand-in that computes nothing, to measure everything but the model."""

import hashlib
import json
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.model.batches import Batch
from craft_ray.model.checkpoint import Checkpoint, StandIn, own_settings, special_tokens
from craft_ray.model.engines.engine import Arrays, EngineSpec, Precision
from craft_ray.model.tokens import load_tokenizer

STAND_IN = "stand-in"


class StandInEngine:
    """Predictions as a `StandIn` says."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._free = 0.0
        self._lock = threading.Lock()
        self.depth = 2  # as on a GPU
        self.packs = False
        self.precision: Precision = "fp32"

    def start(self, batch: Batch) -> Any:
        """Look the labels up, and book the time that the batch would take after those before it."""
        until = 0.0
        if self._stand_in.tokens_per_second:
            with self._lock:
                began = max(self._free, time.monotonic())
                until = self._free = began + int(batch.inside.sum()) / self._stand_in.tokens_per_second
        return until, self._stand_in.label[batch.token_ids]

    def finish(self, started: Any) -> Arrays:
        """Labels, and the same score for all."""
        until, label = started
        if until:
            time.sleep(max(0.0, until - time.monotonic()))
        return label, np.full(label.shape, 0.9, np.float32)

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """A logit of one for the label, zeros beside it."""
        label = self._stand_in.label[batch.token_ids]
        return np.eye(int(self._stand_in.label.max()) + 1, dtype=np.float32)[label]


def stand_in_checkpoint(source: str) -> Checkpoint:
    """The embedded checkpoint with a stand-in for its network; needs neither torch nor transformers.

    One word piece in eight gets a label, so that mentions are about as frequent as in CRAFT.
    """
    from craft_ray.model.shipped import EMBEDDED_FOLDER  # replicas are made from what the driver has read

    rate = source.partition(":")[2]
    try:
        tokens_per_second = float(rate) if rate else None
    except ValueError:
        tokens_per_second = 0.0
    if tokens_per_second is not None and not tokens_per_second > 0:
        raise SettingsError(f"the model {source}: give a rate in tokens per second, above 0, as {STAND_IN}:20000")
    config = json.loads((EMBEDDED_FOLDER / "config.json").read_text(encoding="utf-8"))
    tokenizer = load_tokenizer((EMBEDDED_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    prefix, suffix = special_tokens(tokenizer)
    id2label = {int(i): str(label) for i, label in config["id2label"].items()}
    starts = [i for i, label in id2label.items() if label.startswith("B-")]
    outside = next(i for i, label in id2label.items() if label == "O")
    pieces = np.arange(tokenizer.get_vocab_size())
    label = np.where(pieces % 8 == 0, np.array(starts)[pieces // 8 % len(starts)], outside).astype(np.int8)
    window_pieces, calibration, _ = own_settings(config, source)
    return Checkpoint(
        source=source,
        config=config,
        weights={},
        tokenizer=tokenizer.to_str(),
        prefix=prefix,
        suffix=suffix,
        max_tokens=int(config["max_position_embeddings"]) - len(prefix) - len(suffix),
        window_pieces=window_pieces,
        calibration=calibration,
        id2label=id2label,
        activation_ranges={},
        seen=None,
        fingerprint=hashlib.sha256(STAND_IN.encode()).hexdigest(),
        stand_in=StandIn(label, tokens_per_second),
    )


SPEC = EngineSpec(
    name=STAND_IN,
    devices={},  # chosen by the checkpoint alone
    fastest=lambda checkpoint, device: "fp32",
    deploy=lambda checkpoint, precision: checkpoint.stand_in,
    load=lambda stand_in, placement: StandInEngine(stand_in),
)
