"""A checkpoint from a folder, an S3 address, or the Hugging Face hub."""

import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import EMBEDDED
from craft_ray.model.checkpoint import (
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
    checkpoint is ever run. `fetch` copies a remote folder such as `s3://...` to a local one.

    Raises SettingsError if there is no such model or it is not a token-classification checkpoint.
    """
    if source.partition(":")[0] == STAND_IN:
        return stand_in_checkpoint(source)
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

    backend = load_tokenizer(tokenizer.backend_tokenizer.to_str())
    prefix, suffix = special_tokens(backend)
    weights = {name: to_numpy(tensor) for name, tensor in model.state_dict().items()}
    id2label = {int(i): str(label) for i, label in config.id2label.items()}
    config_dict = config.to_diff_dict()
    window_pieces, calibration, ranges = own_settings(config.to_dict(), source)
    refined = config_dict.get("refine_mentions") is True
    checkpoint = Checkpoint(
        source=source,
        config=config_dict,
        weights=weights,
        tokenizer=backend.to_str(),
        prefix=prefix,
        suffix=suffix,
        max_tokens=max_positions(config, tokenizer) - len(prefix) - len(suffix),
        window_pieces=window_pieces,
        calibration=calibration,
        id2label=id2label,
        activation_ranges=ranges,
        seen=_seen(Path(folder), source),
        fingerprint=fingerprint_of(
            weights,
            # A setting that came later is left out where it is off, so that earlier outputs stay up to date.
            [id2label, backend.to_str(), window_pieces, calibration, ranges, *(["refined"] if refined else [])],
        ),
    )
    try:
        _ = checkpoint.tags
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from error
    return checkpoint


def _resolve(source: str, fetch: Callable[[str], Path] | None) -> str:
    """A local folder where there is one, else the Hugging Face id as it is."""
    if (shipped := shipped_folder(source)) is not None:
        return str(shipped)
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
