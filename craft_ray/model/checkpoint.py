"""A token-classification checkpoint in Hugging Face form as plain arrays.

The arrays travel to the replicas through Ray's object store, which keeps one copy per node and maps it into each actor.
Workers therefore read no checkpoint files, and a folder on the driver's disk serves a whole cluster.
"""

import hashlib
import json
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.descriptions import KEY, LabelDescription, descriptions_of
from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import canonical
from craft_ray.core.validation import nearest
from craft_ray.model.tags import TagSet
from craft_ray.model.weights import Weights

SEEN_FILE = "seen_mentions.npy"
CONFIG_FILE = "config.json"

OWN_SETTINGS = (
    "window_pieces",
    "label_pieces",
    "score_calibration",
    "activation_ranges",
    "refine_mentions",
    "rescoring",
    KEY,
)
"""Keys that our training adds to config.json."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """Fixed labels in place of a network, to measure everything but the model.

    label:             (vocabulary, groups) index of each word piece's label in each group
    tokens_per_second: simulated speed of a replica; None for no delay
    """

    label: NDArray[np.int8]
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Token ids around each window ([CLS], [SEP]), and the one that pads rows."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    padding: int

    @property
    def count(self) -> int:
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as annotation needs it.

    weights:           fp32 or fp16 array by parameter name
    tokenizer:         a `tokenizers` tokenizer as JSON, without truncation or padding
    max_tokens:        word pieces that fit a window, special tokens not counted
    window_pieces:     word pieces up to which consecutive sentences share a window, as in training; 0 for one sentence
                       per window
    calibration:       slope and intercept of `calibration.calibrated`
    activation_ranges: lowest and highest input of each linear layer by name, for int8; empty if int8 was not found safe
    seen:              keys (`training.seen_mentions`) of the mentions in the training data; None if unknown
    fingerprint:       SHA-256 of everything that determines the entities
    stand_in:          replaces the network; None for a real checkpoint
    chosen:            the labels to annotate; empty for all
    """

    source: str
    config: dict[str, Any]
    weights: Weights
    tokenizer: str
    special: SpecialTokens
    max_tokens: int
    window_pieces: int
    calibration: tuple[float, float]
    id2label: dict[int, str]
    activation_ranges: dict[str, tuple[float, float]]
    seen: NDArray[np.int64] | None
    fingerprint: str
    stand_in: StandIn | None = None
    chosen: frozenset[str] = frozenset()

    @property
    def tags(self) -> TagSet:
        ontology = {label: one.prefixes[0] for label, one in self.descriptions.items() if one.prefixes}
        return TagSet.from_id2label(self.id2label, ontology)

    def with_labels(self, labels: Sequence[str]) -> "Checkpoint":
        """The checkpoint for annotation with some of its labels alone; itself without any.

        Raises SettingsError for a label that the model does not have.
        """
        if not labels:
            return self
        wanted, known = sorted(set(map(canonical, labels))), self.tags.names
        if unknown := [label for label in wanted if label not in known]:
            raise SettingsError(f"labels {unknown[0]}: the model has no such label{nearest(unknown[0], known)}")
        fingerprint = hashlib.sha256(json.dumps([self.fingerprint, wanted]).encode()).hexdigest()
        return replace(self, chosen=frozenset(wanted), fingerprint=fingerprint)

    def with_candidates(self, odds: Mapping[str, float] | None = None) -> "Checkpoint":
        """The checkpoint for mentions that `concepts.rescoring` judges: of some labels it finds less likely ones too.

        odds: log odds to add to the tags of each label; by default `candidate_odds` of the rescoring
        """
        odds = (self.rescoring or {}).get("candidate_odds", {}) if odds is None else odds
        if not any(odds.values()) or self.stand_in is not None:
            return self
        tags = self.tags
        by_name = np.array([*(odds.get(name, 0.0) for name in tags.names), 0.0], np.float32)  # the last one is for `O`
        bias = self.weights["classifier.bias"].astype(np.float32) + by_name[tags.label]
        fingerprint = hashlib.sha256(json.dumps([self.fingerprint, dict(odds)]).encode()).hexdigest()
        weights = ChainMap({"classifier.bias": bias}, self.weights)  # type: ignore[arg-type]  # only read
        return replace(self, weights=weights, fingerprint=fingerprint)

    @property
    def descriptions(self) -> dict[str, LabelDescription]:
        """Descriptions of CRAFT's own labels and of those in `label_descriptions` of config.json.

        Raises SettingsError if a description is invalid.
        """
        return descriptions_of(TagSet.from_id2label(self.id2label).names, self.config.get(KEY))

    @property
    def about(self) -> dict[str, Any]:
        """The model's entry in run records and summaries."""
        about = {"source": self.source, "fingerprint": self.fingerprint, "labels": self.id2label}
        return about | ({KEY: self.config[KEY]} if self.config.get(KEY) else {})

    @property
    def label_pieces(self) -> bool:
        """Whether the model labels all word pieces, not only the first one of each word."""
        return self.config.get("label_pieces") is True

    @property
    def blank_words(self) -> bool:
        """Whether words are separated by blanks, as in transformers' pipeline, if the tokenizer does not mark the
        pieces that continue a word (RoBERTa).

        False for checkpoints of `craft-ray train`, which learned the tokenizer's own words.
        """
        return "window_pieces" not in self.config

    @property
    def refine_mentions(self) -> bool:
        """Whether `refinement` applies. Off by default: its rules were chosen for the labels of CRAFT's release."""
        return self.config.get("refine_mentions") is True

    @property
    def rescoring(self) -> Any:
        """Parameters of `concepts.rescoring`; None if mentions keep the scores of the network."""
        return self.config.get("rescoring")


def max_positions(config: Any, tokenizer: Any) -> int:
    """Tokens that fit the model. RoBERTa-like models leave their first `pad_token_id + 1` positions unused."""
    positions = int(getattr(config, "max_position_embeddings", 512))
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= int(config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


def update_config(folder: Path, **values: object) -> None:
    """Set keys in a checkpoint's config.json and keep all others."""
    file = folder / CONFIG_FILE
    config = json.loads(file.read_text(encoding="utf-8")) | values
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def special_tokens(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that the tokenizer adds before and after a text."""
    encoding = tokenizer.encode("a")
    pieces = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
    return tuple(encoding.ids[: pieces[0]]), tuple(encoding.ids[pieces[-1] + 1 :])


def to_numpy(tensor: Any) -> NDArray[np.generic]:
    """NumPy has no bfloat16, so those weights become fp32, which is exact."""
    import torch

    array: NDArray[np.generic] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()
    return array


def fingerprint_of(weights: Weights, others: list[Any]) -> str:
    """SHA-256 of weights by name and of everything else that determines the entities."""
    digest = hashlib.sha256(json.dumps(others, sort_keys=True).encode())
    for name in sorted(weights):
        array = weights[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not blank, or the name of its type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
