"""A checkpoint by name: one that ships, a folder, an S3 address, or a model of the Hugging Face hub."""

import json
import shutil
import socket
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from craft_ray.core.errors import SettingsError
from craft_ray.core.packages import require
from craft_ray.core.settings import EMBEDDED
from craft_ray.model.checkpoint import (
    CONFIG_FILE,
    OWN_SETTINGS,
    SEEN_FILE,
    Checkpoint,
    fingerprint_of,
    max_positions,
    one_line,
    own_settings,
    special_tokens,
    to_numpy,
)
from craft_ray.model.engines.stand_in import STAND_IN, stand_in_checkpoint
from craft_ray.model.shipped import shipped_folder
from craft_ray.model.tokens import load_tokenizer


def load_checkpoint(source: str = EMBEDDED, fetch: Callable[[str], Path] | None = None) -> Checkpoint:
    """Load a checkpoint that ships, a local folder, a Hugging Face id, or (through `fetch`) a remote folder.

    `stand-in` gives the embedded checkpoint's tokenizer and labels with a `StandIn` for its network, and
    `stand-in:RATE` one that answers at so many tokens per second.

    Weights are read as safetensors or through torch's weights-only loader; no pickle beyond that and no code from a
    checkpoint is ever run. `fetch` copies a remote folder such as `s3://...` to a local one; once it is read, it is
    removed.

    Raises SettingsError if there is no such model or it is not a token-classification checkpoint.
    """
    if source.partition(":")[0] == STAND_IN:
        return stand_in_checkpoint(source)
    if "://" in source:
        if fetch is None:
            raise SettingsError(f"cannot fetch the model {source} here")
        fetched = fetch(source)
        try:
            return _checkpoint_in(str(fetched), source)
        finally:
            shutil.rmtree(fetched)  # weights that are mapped stay readable
    return _checkpoint_in(find_model(source), source)


def _checkpoint_in(folder: str, source: str) -> Checkpoint:
    content = _read_own(Path(folder), source) or _read_with_transformers(folder, source)
    prefix, suffix = special_tokens(content.tokenizer)
    id2label = {int(i): str(label) for i, label in content.config["id2label"].items()}
    window_pieces, calibration, ranges = own_settings(content.config, source)
    tokenizer = content.tokenizer.to_str()
    decides = [id2label, tokenizer, window_pieces, calibration, ranges]
    if content.config.get("refine_mentions") is True:
        # A setting that came later is left out where it is off, so that earlier outputs stay up to date.
        decides.append("refined")
    if content.config.get("rescoring") is not None:
        decides.append(content.config["rescoring"])
    checkpoint = Checkpoint(
        source=source,
        config=content.config | {"id2label": id2label},
        weights=content.weights,
        tokenizer=tokenizer,
        prefix=prefix,
        suffix=suffix,
        max_tokens=content.positions - len(prefix) - len(suffix),
        window_pieces=window_pieces,
        calibration=calibration,
        id2label=id2label,
        activation_ranges=ranges,
        seen=_seen(Path(folder), source),
        fingerprint=fingerprint_of(content.weights, decides),
    )
    try:
        _ = checkpoint.tags
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from error
    return checkpoint


def find_model(source: str) -> str:
    """The local folder of a model where there is one, else its Hugging Face id or address as it is.

    Raises SettingsError if it can be none of these; imports nothing to find out.
    """
    if (shipped := shipped_folder(source)) is not None:
        return str(shipped)
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / CONFIG_FILE).is_file():
            raise SettingsError(f"the model folder {source} has no {CONFIG_FILE}")
        return str(path)
    is_address = "://" in source or source.partition(":")[0] == STAND_IN
    if not is_address and (path.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1):
        raise SettingsError(f"there is no model folder {source}")
    return source


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of a checkpoint's files.

    tokenizer: without truncation or padding
    positions: that the model has, special tokens included
    """

    config: dict[str, Any]
    weights: dict[str, NDArray[np.generic]]
    tokenizer: Tokenizer
    positions: int


def _read_own(folder: Path, source: str) -> _Content | None:
    """A checkpoint that our training wrote, for which tokenizers and safetensors suffice; None for any other.

    Importing transformers and torch takes twenty times as long as this.
    """
    config_file, weights_file = folder / CONFIG_FILE, folder / "model.safetensors"
    if not (config_file.is_file() and weights_file.is_file()):
        return None
    from safetensors.numpy import load_file

    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        if config.get("model_type") != "bert" or "window_pieces" not in config:
            return None
        weights = load_file(weights_file)
        tokenizer = load_tokenizer((folder / "tokenizer.json").read_text(encoding="utf-8"))
        longest = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"]
        head = weights["classifier.weight"].shape[0] if "classifier.weight" in weights else 0
        positions = min(int(config["max_position_embeddings"]), int(longest))
    except Exception as error:  # tokenizers and safetensors raise kinds of their own for what is damaged
        raise SettingsError(f"cannot load the model {source}: {one_line(error)}") from error
    if head != len(config["id2label"]):
        raise SettingsError(f"the model {source} has no head for its {len(config['id2label'])} labels")
    return _Content(config, weights, tokenizer, positions)


def _read_with_transformers(folder: str, source: str) -> _Content:
    """Any token-classification checkpoint."""
    for package in ("torch", "transformers"):
        require(package, f"the model {source}")
    # Slow to import (2 to 4 s), and workers never need them.
    from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    offline = not Path(folder).is_dir() and not _hub_answers()
    how: dict[str, Any] = {"trust_remote_code": False, "local_files_only": offline}
    try:
        config = AutoConfig.from_pretrained(folder, **how)
        model, info = AutoModelForTokenClassification.from_pretrained(
            folder, config=config, output_loading_info=True, dtype="auto", **how
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, **how)
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
    own = {name: value for name, value in config.to_dict().items() if name in ("id2label", *OWN_SETTINGS)}
    return _Content(
        config=config.to_diff_dict() | own,
        weights={name: to_numpy(tensor) for name, tensor in model.state_dict().items()},
        tokenizer=load_tokenizer(tokenizer.backend_tokenizer.to_str()),
        positions=max_positions(config, tokenizer),
    )


def _hub_answers() -> bool:
    """True if the hub can be reached, found out in seconds; its own client retries for half a minute."""
    from huggingface_hub.constants import ENDPOINT

    if urllib.request.getproxies():
        return True  # a direct connection would tell nothing
    hub = urlsplit(ENDPOINT)
    try:
        socket.create_connection((hub.hostname, hub.port or 443), timeout=3).close()
    except OSError:
        return False
    return True


def _seen(folder: Path, source: str) -> NDArray[np.int64] | None:
    """The keys that our training leaves beside the weights."""
    if not (file := folder / SEEN_FILE).is_file():
        return None
    try:
        keys: NDArray[np.int64] = np.load(file, allow_pickle=False).astype(np.int64)
        return keys
    except ValueError as error:
        raise SettingsError(f"the model {source} has a bad {SEEN_FILE}: {error}") from error
