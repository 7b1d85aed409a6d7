"""A token-classification checkpoint in Hugging Face form, read once and held as plain arrays.

The arrays travel to the replicas through Ray's object store, which keeps one copy a node and maps it into each actor:
no worker reads a checkpoint, and a folder on the driver's disk serves a whole cluster.
"""

import hashlib
import json
import socket
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from craft_ray.errors import SettingsError
from craft_ray.labels import TagSet

EMBEDDED = "embedded"
STAND_IN = "stand-in"
SEEN_FILE = "seen_mentions.npy"
EMBEDDED_FOLDER = Path(__file__).parent / "default_model"


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
    max_pieces:  word pieces that fit a window beside the special tokens
    window_pieces: word pieces up to which consecutive sentences share a window, as in the model's training; 0 for a
                 sentence a window (`window_pieces` of config.json)
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
    max_pieces: int
    window_pieces: int
    calibration: tuple[float, float]
    id2label: dict[int, str]
    activation_ranges: dict[str, tuple[float, float]]
    seen: NDArray[np.int64] | None
    fingerprint: str
    stand_in: StandIn | None = None

    @property
    def tags(self) -> TagSet:
        """What the label ids mean."""
        return TagSet.from_id2label(self.id2label)


def load_checkpoint(source: str = EMBEDDED, fetch: Callable[[str], Path] | None = None) -> Checkpoint:
    """Load the embedded checkpoint, a local folder, a Hugging Face id, or (through `fetch`) a remote folder.

    `stand-in` gives the embedded checkpoint's tokenizer and labels with a `StandIn` for its network, and
    `stand-in:RATE` one that answers at so many tokens a second.

    Weights are read as safetensors or through torch's weights-only loader; no pickle beyond that and no code from a
    checkpoint is ever run. `fetch` copies a remote folder such as `s3://...` to a local one.

    Raises SettingsError if there is no such model or it is not a token-classification checkpoint.
    """
    if source.partition(":")[0] == STAND_IN:
        return _stand_in(source)
    folder = _resolve(source, fetch)
    # Slow to import (2 to 4 s), and workers never need them.
    from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    offline = not Path(folder).is_dir() and not _hub_answers()
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=offline)
        model, info = AutoModelForTokenClassification.from_pretrained(
            folder,
            config=config,
            trust_remote_code=False,
            local_files_only=offline,
            output_loading_info=True,
            dtype="auto",
        )
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=offline, use_fast=True
        )
    except Exception as error:  # transformers raises many kinds for a folder that is not a checkpoint
        if offline:
            raise SettingsError(
                f"cannot load the model {source}: it is no folder, it is not in the local cache, "
                "and the Hugging Face hub does not answer"
            ) from error
        raise SettingsError(f"cannot load the model {source}: {one_line(error)}") from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise SettingsError(f"the model {source} is not fine-tuned for token classification: it lacks {missing}")
    if not tokenizer.is_fast:
        raise SettingsError(f"the model {source} has no fast tokenizer, and its offsets cannot be kept")

    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    prefix, suffix = special_tokens(backend)
    weights = {name: to_numpy(tensor) for name, tensor in model.state_dict().items()}
    id2label = {int(i): str(label) for i, label in config.id2label.items()}
    config_dict = config.to_diff_dict()
    window_pieces, calibration, ranges = _own_settings(config.to_dict(), source)
    checkpoint = Checkpoint(
        source=source,
        config=config_dict,
        weights=weights,
        tokenizer=backend.to_str(),
        prefix=prefix,
        suffix=suffix,
        max_pieces=max_positions(config, tokenizer) - len(prefix) - len(suffix),
        window_pieces=window_pieces,
        calibration=calibration,
        id2label=id2label,
        activation_ranges=ranges,
        seen=_seen(Path(folder), source),
        fingerprint=_fingerprint(weights, [id2label, backend.to_str(), window_pieces, calibration, ranges]),
    )
    try:
        _ = checkpoint.tags
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from error
    return checkpoint


def _resolve(source: str, fetch: Callable[[str], Path] | None) -> str:
    """A local folder where there is one, else the Hugging Face id as it is."""
    if source == EMBEDDED:
        return str(EMBEDDED_FOLDER)
    if "://" in source:
        if fetch is None:
            raise SettingsError(f"cannot fetch the model {source} here")
        return str(fetch(source))
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise SettingsError(f"the model folder {source} has no config.json")
        return str(path)
    if path.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
        raise SettingsError(f"there is no model folder {source}")
    return source


def _hub_answers() -> bool:
    """Whether the hub can be reached, told in seconds; its own client retries for half a minute."""
    from huggingface_hub.constants import ENDPOINT

    if urllib.request.getproxies():
        return True  # a direct connection would tell nothing
    hub = urlsplit(ENDPOINT)
    try:
        socket.create_connection((hub.hostname, hub.port or 443), timeout=3).close()
    except OSError:
        return False
    return True


def max_positions(config: Any, tokenizer: Any) -> int:
    """Positions the model has; RoBERTa-like models keep the first `pad_token_id + 1` of theirs unused."""
    positions = int(getattr(config, "max_position_embeddings", 512))
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= int(config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


def _own_settings(
    config: dict[str, Any], source: str
) -> tuple[int, tuple[float, float], dict[str, tuple[float, float]]]:
    """What our training adds to config.json: `window_pieces`, `score_calibration` and `activation_ranges`; others'
    checkpoints have none.
    """
    try:
        slope, intercept = (float(value) for value in config.get("score_calibration", (1.0, 0.0)))
        ranges = {str(n): (float(low), float(high)) for n, (low, high) in config.get("activation_ranges", {}).items()}
        return int(config.get("window_pieces", 0)), (slope, intercept), ranges
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"the model {source} has a bad setting of craft_ray in config.json: {error}") from error


def _stand_in(source: str) -> Checkpoint:
    """The embedded checkpoint with a stand-in for its network; needs neither torch nor transformers.

    One word piece in eight gets a label, so that mentions are about as frequent as in CRAFT.
    """
    from tokenizers import Tokenizer

    rate = source.partition(":")[2]
    try:
        tokens_per_second = float(rate) if rate else None
    except ValueError:
        tokens_per_second = 0.0
    if tokens_per_second is not None and not tokens_per_second > 0:
        raise SettingsError(f"the model {source}: give a rate in tokens a second above 0, as {STAND_IN}:20000")
    config = json.loads((EMBEDDED_FOLDER / "config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(EMBEDDED_FOLDER / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    prefix, suffix = special_tokens(tokenizer)
    id2label = {int(i): str(label) for i, label in config["id2label"].items()}
    starts = [i for i, label in id2label.items() if label.startswith("B-")]
    outside = next(i for i, label in id2label.items() if label == "O")
    pieces = np.arange(tokenizer.get_vocab_size())
    label = np.where(pieces % 8 == 0, np.array(starts)[pieces // 8 % len(starts)], outside).astype(np.int8)
    window_pieces, calibration, _ = _own_settings(config, source)
    return Checkpoint(
        source=source,
        config=config,
        weights={},
        tokenizer=tokenizer.to_str(),
        prefix=prefix,
        suffix=suffix,
        max_pieces=int(config["max_position_embeddings"]) - len(prefix) - len(suffix),
        window_pieces=window_pieces,
        calibration=calibration,
        id2label=id2label,
        activation_ranges={},
        seen=None,
        fingerprint=hashlib.sha256(STAND_IN.encode()).hexdigest(),
        stand_in=StandIn(label, tokens_per_second),
    )


def _seen(folder: Path, source: str) -> NDArray[np.int64] | None:
    """The keys that our training leaves beside the weights."""
    if not (file := folder / SEEN_FILE).is_file():
        return None
    try:
        keys: NDArray[np.int64] = np.load(file, allow_pickle=False).astype(np.int64)
        return keys
    except ValueError as error:
        raise SettingsError(f"the model {source} has a bad {SEEN_FILE}: {error}") from error


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


def _fingerprint(weights: dict[str, NDArray[np.generic]], others: list[Any]) -> str:
    """SHA-256 of what decides the answers: weights by name, labels, tokenizer, windows, calibration."""
    digest = hashlib.sha256(json.dumps(others, sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].dtype} {weights[name].shape}".encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()


def one_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
