"""Load a checkpoint by name: a model that ships, a folder, an S3 address, or a model of the Hugging Face hub."""

import hashlib
import json
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from craft_ray.core.errors import SettingsError
from craft_ray.core.packages import require
from craft_ray.core.settings import EMBEDDED
from craft_ray.core.user_cache import remembered
from craft_ray.core.validation import nearest
from craft_ray.model.calibration import IDENTITY
from craft_ray.model.checkpoint import (
    CONFIG_FILE,
    OWN_SETTINGS,
    SEEN_FILE,
    Checkpoint,
    SpecialTokens,
    StandIn,
    fingerprint_of,
    first_line,
    max_positions,
    special_tokens,
    to_numpy,
)
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.tokens import load_tokenizer
from craft_ray.model.weights import Weights, read_weights, weights_file

_MODELS = Path(__file__).parent.parent / "models"

SHIPPED = {"craft": _MODELS / "craft", "craft-iob": _MODELS / "craft-iob"}
"""Folders of the models that ship with the package, by the name that `--model` takes."""

DEFAULT = "craft"


def load_checkpoint(source: str = EMBEDDED, fetch: Callable[[str], Path] | None = None) -> Checkpoint:
    """Load a model that ships, a local folder, a model of the Hugging Face hub, or a remote folder.

    `stand-in` loads the default model with fixed labels in place of its network; `stand-in:RATE` limits it to that many
    tokens per second.

    Weights are read as safetensors or by torch's weights-only loader. No other pickle and no code of a checkpoint runs.

    fetch: downloads a remote folder such as `s3://...` to a temporary local one, which is deleted after loading

    Raises SettingsError if there is no such model or it is not a token-classification checkpoint.
    """
    if source.partition(":")[0] == STAND_IN:
        return _stand_in_checkpoint(source)
    if "://" not in source:
        folder = find_model(source)
        try:
            return _load(folder, source)
        except SettingsError as error:
            meant = "" if Path(folder).is_dir() else nearest(source, SHIPPED)
            raise SettingsError(f"{error}{meant}") from error
    if fetch is None:
        raise SettingsError(f"cannot fetch the model {source} here")
    fetched = fetch(source)
    try:
        return _load(str(fetched), source)
    finally:
        shutil.rmtree(fetched)  # memory-mapped weights stay readable


def find_model(source: str) -> str:
    """The local folder of a model if it has one, else its Hugging Face id or address unchanged.

    Imports nothing large. Raises SettingsError if it can be neither.
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


def shipped_folder(name: str) -> Path | None:
    return SHIPPED.get(DEFAULT if name == EMBEDDED else name)


@dataclass(frozen=True, slots=True)
class _Files:
    """What a checkpoint's files contain.

    tokenizer:    without truncation or padding
    positions:    tokens that fit the model, special tokens included
    weights_file: all of `weights`, if they are in one local file
    """

    config: dict[str, Any]
    weights: Weights
    tokenizer: Tokenizer
    positions: int
    weights_file: Path | None = None


def _load(folder: str, source: str, files: _Files | None = None) -> Checkpoint:
    files = files or _read_own(Path(folder), source) or _read_with_transformers(folder, source)
    config = files.config
    id2label = {int(i): str(label) for i, label in config["id2label"].items()}
    try:
        slope, intercept = (float(value) for value in config.get("score_calibration", IDENTITY))
        ranges = {str(n): (float(low), float(high)) for n, (low, high) in config.get("activation_ranges", {}).items()}
        window_pieces = int(config.get("window_pieces", 0))
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"the model {source} has a bad setting of craft_ray in config.json: {error}") from error
    # Settings that are off are left out, which keeps the fingerprint of a checkpoint that does not have them.
    refined = ["refined"] if config.get("refine_mentions") is True else []
    rescoring = [config["rescoring"]] if config.get("rescoring") is not None else []
    tokenizer = files.tokenizer.to_str()
    determining = [id2label, tokenizer, window_pieces, (slope, intercept), ranges, *refined, *rescoring]
    special = SpecialTokens(*special_tokens(files.tokenizer), padding=int(config.get("pad_token_id") or 0))
    checkpoint = Checkpoint(
        source=source,
        config=config | {"id2label": id2label},
        weights=files.weights,
        tokenizer=tokenizer,
        special=special,
        max_tokens=files.positions - special.count,
        window_pieces=window_pieces,
        calibration=(slope, intercept),
        id2label=id2label,
        activation_ranges=ranges,
        seen=_read_seen(Path(folder), source),
        fingerprint=_fingerprint(files, determining),
    )
    try:
        _ = checkpoint.tags
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from error
    return checkpoint


def _fingerprint(files: _Files, determining: list[Any]) -> str:
    if files.weights_file is None:
        return fingerprint_of(files.weights, determining)
    what = json.dumps(determining, sort_keys=True)
    return remembered(files.weights_file, what, lambda: fingerprint_of(files.weights, determining))


def _read_own(folder: Path, source: str, with_weights: bool = True) -> _Files | None:
    """Read a checkpoint that our training wrote; None for any other.

    Needs only tokenizers, and takes a twentieth of the time that importing transformers takes.
    """
    config_file, file = folder / CONFIG_FILE, weights_file(folder) if with_weights else None
    if not config_file.is_file() or (with_weights and file is None):
        return None
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        if config.get("model_type") != "bert" or "window_pieces" not in config:
            return None
        weights = {} if file is None else read_weights(file)
        tokenizer = load_tokenizer((folder / "tokenizer.json").read_text(encoding="utf-8"))
        longest = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"]
        head = weights["classifier.weight"].shape[0] if "classifier.weight" in weights else 0
        positions = min(int(config["max_position_embeddings"]), int(longest))
    except Exception as error:  # tokenizers has exception types of its own
        raise SettingsError(f"cannot load the model {source}: {first_line(error)}") from error
    if with_weights and head != len(config["id2label"]):
        raise SettingsError(f"the model {source} has no head for its {len(config['id2label'])} labels")
    return _Files(config, weights, tokenizer, positions, file)


def _read_with_transformers(folder: str, source: str) -> _Files:
    """Read any token-classification checkpoint."""
    for package in ("torch", "transformers"):
        require(package, f"the model {source}")
    # Takes 2 to 4 s to import, and workers never need it.
    from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    offline = not Path(folder).is_dir() and not _hub_is_reachable()
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": offline}
    try:
        config = AutoConfig.from_pretrained(folder, **options)
        if config.model_type == "big_bird":
            config.attention_type = "original_full"  # as it is for all but the longest windows; OpenVINO needs it
        model, info = AutoModelForTokenClassification.from_pretrained(
            folder, config=config, output_loading_info=True, dtype="auto", **options
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, **options)
    except Exception as error:  # transformers raises many types for a folder that is no checkpoint
        if offline:
            raise SettingsError(
                f"cannot load the model {source}: it is no folder, it is not in the local cache, "
                "and the Hugging Face hub does not answer"
            ) from error
        raise SettingsError(f"cannot load the model {source}: {first_line(error)}") from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise SettingsError(f"the model {source} is not fine-tuned for token classification: it lacks {missing}")
    if not tokenizer.is_fast:
        raise SettingsError(f"the model {source} has no fast tokenizer, and its offsets cannot be kept")
    own = {name: value for name, value in config.to_dict().items() if name in ("id2label", *OWN_SETTINGS)}
    return _Files(
        config=config.to_diff_dict() | own,
        weights={name: to_numpy(tensor) for name, tensor in model.state_dict().items()},
        tokenizer=load_tokenizer(tokenizer.backend_tokenizer.to_str()),
        positions=max_positions(config, tokenizer),
    )


def _hub_is_reachable() -> bool:
    """Checked with a short timeout, since the hub's own client retries for half a minute."""
    import urllib.request

    from huggingface_hub.constants import ENDPOINT

    if urllib.request.getproxies():
        return True  # behind a proxy, a direct connection shows nothing
    hub = urlsplit(ENDPOINT)
    try:
        socket.create_connection((hub.hostname, hub.port or 443), timeout=3).close()
    except OSError:
        return False
    return True


def _read_seen(folder: Path, source: str) -> NDArray[np.int64] | None:
    if not (file := folder / SEEN_FILE).is_file():
        return None
    try:
        keys: NDArray[np.int64] = np.load(file, allow_pickle=False).astype(np.int64)
        return keys
    except ValueError as error:
        raise SettingsError(f"the model {source} has a bad {SEEN_FILE}: {error}") from error


def _stand_in_checkpoint(source: str) -> Checkpoint:
    """The default model's tokenizer and labels with a `StandIn`; needs no weights, torch, or transformers.

    One word piece in eight gets a label, so mentions are about as frequent as in CRAFT.
    """
    rate = source.partition(":")[2]
    try:
        tokens_per_second = float(rate) if rate else None
    except ValueError:
        tokens_per_second = 0.0
    if tokens_per_second is not None and not tokens_per_second > 0:
        raise SettingsError(f"the model {source}: give a rate in tokens per second, above 0, as {STAND_IN}:20000")
    folder = SHIPPED[DEFAULT]
    files = _read_own(folder, source, with_weights=False)
    assert files is not None  # ships with the package
    default = _load(str(folder), source, files)
    tags, vocabulary = default.tags, files.tokenizer.get_vocab_size()
    starts = np.flatnonzero(tags.begins)
    pieces = np.arange(0, vocabulary, 8)
    group, index = np.divmod(starts[pieces // 8 % len(starts)], len(default.id2label) // tags.groups)
    label = np.zeros((vocabulary, tags.groups), np.int8)
    label[pieces, group] = index
    return replace(
        default,
        config={key: value for key, value in default.config.items() if key not in ("refine_mentions", "rescoring")},
        activation_ranges={},
        seen=None,
        fingerprint=hashlib.sha256(STAND_IN.encode()).hexdigest(),
        stand_in=StandIn(label, tokens_per_second),
    )
