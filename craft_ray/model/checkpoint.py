"""A token-classification checkpoint in Hugging Face form, read once and held as plain arrays.

The arrays travel to the replicas through Ray's object store, which keeps one copy a node and maps it into each actor:
no worker reads a checkpoint, and a folder on the driver's disk serves a whole cluster.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.descriptions import KEY, LabelDescription, descriptions_of
from craft_ray.core.errors import SettingsError
from craft_ray.model.tags import TagSet

SEEN_FILE = "seen_mentions.npy"
CONFIG_FILE = "config.json"

OWN_SETTINGS = (
    "window_pieces",
    "score_calibration",
    "activation_ranges",
    "refine_mentions",
    "rescoring",
    KEY,
)
"""Keys that our training adds to config.json."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """Labels by word piece in place of a network, to measure everything but the model.

    label:             (vocabulary,) label id of each word piece
    tokens_per_second: rate at which a replica answers, by sleeping; None for at once
    """

    label: NDArray[np.int8]
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything of a checkpoint that annotation needs.

    weights:     parameter name -> fp32 or fp16 array
    tokenizer:   a `tokenizers` tokenizer as JSON, without truncation or padding
    prefix, suffix: ids of the special tokens around a window ([CLS], [SEP])
    max_tokens:  word pieces that fit a window beside the special tokens
    window_pieces: word pieces up to which consecutive sentences share a window, as in the model's training; 0 for a
                 sentence per window (`window_pieces` of config.json)
    calibration: slope and intercept by which scores are calibrated (`score_calibration` of config.json)
    activation_ranges: lowest and highest input of each linear layer, by name, where int8 was measured to do no harm
                 (`activation_ranges` of config.json); empty if it was not
    seen:        keys of the mentions that training showed, as `corpora.mention_keys` makes them; None if not known
    fingerprint: SHA-256 over weights, configuration and tokenizer
    stand_in:    what answers in place of a network; None for a real checkpoint
    """

    source: str
    config: dict[str, Any]
    weights: dict[str, NDArray[np.generic]]
    tokenizer: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    max_tokens: int
    window_pieces: int
    calibration: tuple[float, float]
    id2label: dict[int, str]
    activation_ranges: dict[str, tuple[float, float]]
    seen: NDArray[np.int64] | None
    fingerprint: str
    stand_in: StandIn | None = None

    @property
    def tags(self) -> TagSet:
        """The meaning of the label ids."""
        ontology = {label: one.prefixes[0] for label, one in self.descriptions.items() if one.prefixes}
        return TagSet.from_id2label(self.id2label).with_ontologies(ontology)

    @property
    def descriptions(self) -> dict[str, LabelDescription]:
        """Meaning and looks of its labels: CRAFT's own, and those in `label_descriptions` of config.json.

        Raises SettingsError if that has a value that does not fit.
        """
        return descriptions_of(TagSet.from_id2label(self.id2label).names, self.config.get(KEY))

    @property
    def about(self) -> dict[str, Any]:
        """The model as records and summaries have it."""
        about = {"source": self.source, "fingerprint": self.fingerprint, "labels": self.id2label}
        return about | ({KEY: self.config[KEY]} if self.config.get(KEY) else {})

    @property
    def refine_mentions(self) -> bool:
        """True if its mentions are refined (see `refinement`), by `refine_mentions` of config.json; a stand-in's never.

        The rule was chosen for the labels of CRAFT's release; for others it is off.
        """
        return self.stand_in is None and self.config.get("refine_mentions") is True

    @property
    def rescoring(self) -> Any:
        """How mentions are scored anew (`concepts.rescoring`), by `rescoring` of config.json; None if they are not.

        A stand-in has none.
        """
        return None if self.stand_in is not None else self.config.get("rescoring")


def max_positions(config: Any, tokenizer: Any) -> int:
    """Positions the model has; RoBERTa-like models keep the first `pad_token_id + 1` of theirs unused."""
    positions = int(getattr(config, "max_position_embeddings", 512))
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= int(config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


def own_settings(
    config: dict[str, Any], source: str
) -> tuple[int, tuple[float, float], dict[str, tuple[float, float]]]:
    """Keys that our training adds to config.json: `window_pieces`, `score_calibration`, `activation_ranges`; others'
    checkpoints have none.
    """
    try:
        slope, intercept = (float(value) for value in config.get("score_calibration", (1.0, 0.0)))
        ranges = {str(n): (float(low), float(high)) for n, (low, high) in config.get("activation_ranges", {}).items()}
        return int(config.get("window_pieces", 0)), (slope, intercept), ranges
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"the model {source} has a bad setting of craft_ray in config.json: {error}") from error


def update_config(folder: Path, **values: object) -> None:
    """Set keys of a checkpoint's config.json; all others stay."""
    file = folder / CONFIG_FILE
    config = json.loads(file.read_text(encoding="utf-8")) | values
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def special_tokens(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids put before and after a text."""
    encoding = tokenizer.encode("a")
    special = np.array(encoding.special_tokens_mask, np.bool_)
    own = np.flatnonzero(~special)
    return tuple(encoding.ids[: own[0]]), tuple(encoding.ids[own[-1] + 1 :])


def to_numpy(tensor: Any) -> NDArray[np.generic]:
    """NumPy knows no bfloat16; those weights are widened, which is exact."""
    import torch

    array: NDArray[np.generic] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()
    return array


def fingerprint_of(weights: dict[str, NDArray[np.generic]], others: list[Any]) -> str:
    """SHA-256 of what decides the answers: weights by name, labels, tokenizer, windows, calibration."""
    digest = hashlib.sha256(json.dumps(others, sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].dtype} {weights[name].shape}".encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()


def one_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
