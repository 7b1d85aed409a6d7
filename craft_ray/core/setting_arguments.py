"""Types of single settings as keyword arguments. A test compares them with `Settings`."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from craft_ray.core.logs import LogFormat
from craft_ray.core.settings import ArticlePart, S3Settings, WaitForSettings


class SettingArguments(TypedDict, total=False):
    """Fields of `Settings`, of which each may be left out."""

    model: str
    format: str | None
    include: tuple[ArticlePart, ...]
    id_column: str | None
    text_column: tuple[str, ...]
    limit: int | None
    prune: bool
    id_prefix: str | None
    model_sha256: str | None
    replace_model: bool
    replicas: int | None
    max_replicas: int | None
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"]
    engine: str
    compile: bool
    token_budget: int | None
    block_mb: float | None
    ontology: tuple[str, ...]
    dictionary: tuple[str, ...]
    concepts: bool
    min_score: float | None
    labels: tuple[str, ...]
    grounded_only: tuple[str, ...]
    concept_prefixes: dict[str, tuple[str, ...]]
    keep_text: bool
    address: str | None
    cpus: int | None
    keep_versions: int | None
    compact: bool
    max_rejected: float
    max_pruned: float
    log_format: LogFormat
    patience: float
    notify: str | None
    wait_for: WaitForSettings | Mapping[str, Any]
    s3: S3Settings | Mapping[str, Any]
