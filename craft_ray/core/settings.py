"""All settings of a run. Arguments override environment variables (`CRAFT_RAY_*`), which override a YAML file.

The command's options and the table in annotation/README.md are made from the descriptions here. Credentials are not
settings: they come from the AWS environment, profile or role.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, cast, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from craft_ray.core.errors import SettingsError
from craft_ray.core.logs import LogFormat, log
from craft_ray.core.validation import Key, nearest, read_yaml, validated

EMBEDDED = "embedded"

FILE = "craft-ray.yaml"
"""Default settings file, in the current folder."""

NOT_IN_FOUND_FILE = ("address", "prune", "notify")
"""Settings that the default file cannot set unless it is named: others may have put it into the current folder."""

PREFIX = "CRAFT_RAY_"

NOT_SETTINGS = ("CRAFT_RAY_DEBUG", "CRAFT_RAY_DATA", "CRAFT_RAY_SCHEMAS")
"""Variables that are not settings: the first shows stack traces, the others are for tests."""

_OF_SERVICES = re.compile(r"_(PORT|SERVICE_HOST|SERVICE_PORT)(_|$)")
"""Matches variables that Kubernetes sets in each pod for a service named craft-ray."""

ArticlePart = Literal[
    "acknowledgements", "appendices", "back", "footnotes", "references", "sub-articles", "tables", "translations"
]
"""Optional parts of full-text articles."""


class S3Settings(BaseModel):
    """How to reach object storage. Defaults come from the AWS environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint_url: str | None = Field(default=None, description="server to use instead of AWS: http://127.0.0.1:8333")
    region: str | None = Field(default=None, description="region of the buckets")
    profile: str | None = Field(default=None, description="profile in the AWS configuration files")
    anonymous: bool | tuple[str, ...] = Field(
        default=(), description="public buckets to read without credentials: their names, or true for all buckets"
    )
    requester_pays: bool = Field(default=False, description="accept the costs of reading from requester-pays buckets")

    @field_validator("endpoint_url")
    @classmethod
    def _check_endpoint_url(cls, url: str | None) -> str | None:
        if url is not None and "@" in url:
            raise PydanticCustomError("web_address", "holds credentials, which belong in the AWS environment")
        return url

    def is_anonymous(self, bucket: str) -> bool:
        return self.anonymous if isinstance(self.anonymous, bool) else bucket in self.anonymous


class WaitForSettings(BaseModel):
    """Resources to request from an autoscaling cluster and wait for, if there is anything to annotate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpus: int = Field(default=0, ge=0, description="GPUs to wait for, in the whole cluster")
    cpus: int = Field(default=0, ge=0, description="CPU cores to wait for, in the whole cluster")
    seconds: float = Field(
        default=900,
        gt=0,
        description="longest wait; then the run starts with the resources there are, or fails if there are none",
    )


class Settings(BaseModel):
    """All parameters of a run, apart from inputs and output."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        default=EMBEDDED,
        description="`craft` (also `embedded`), `craft-iob`, a folder (local or s3://) or a Hugging Face id",
    )
    format: str | None = Field(
        default=None,
        description="format of all inputs, such as pubmed or jats; default: recognised by name and content",
    )
    include: tuple[ArticlePart, ...] = Field(
        default=(),
        description="part of full-text articles to read besides titles, abstracts, body and captions: "
        + ", ".join(get_args(ArticlePart)),
    )
    id_column: str | None = Field(
        default=None, description="column of the ids in JSON, CSV and Parquet; default: found by its usual names"
    )
    text_column: tuple[str, ...] = Field(
        default=(),
        description="column of the text in JSON, CSV and Parquet, a section of its own; default: found by usual names",
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="documents to read of each file, for a trial; a run without it reads the rest; default: all",
    )
    prune: bool = Field(
        default=False,
        description="for sources that are complete: remove documents that are in no file of the inputs any more",
    )
    id_prefix: str | None = Field(
        default=None, description="prefix of each id; `shard` uses the file's path, for ids that repeat across files"
    )
    model_sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="fingerprint that the model must have, as in a run record",
    )
    replace_model: bool = Field(
        default=False,
        description="annotate with another model than the output's last run, which is otherwise refused, so that no "
        "output mixes two by mistake",
    )
    replicas: int | None = Field(
        default=None, ge=1, description="number of model replicas; default: one per GPU, or one per eight CPU cores"
    )
    max_replicas: int | None = Field(
        default=None,
        ge=1,
        description="upper limit of model replicas, for clusters that grow and shrink during a run; default: their "
        "number at its start",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        default="auto",
        description="number format of the model; auto: the fastest without loss of accuracy; fp32 is exact",
    )
    engine: str = Field(
        default="auto", description="library that runs the model; auto: openvino on a CPU, torch on a GPU"
    )
    compile: bool = Field(
        default=False, description="compile the model for a GPU (torch.compile): takes a minute, for long runs"
    )
    token_budget: int | None = Field(
        default=None,
        ge=64,
        description="tokens per model batch, padding included; default: 512 on a CPU, 32,768 on a GPU",
    )
    block_mb: float | None = Field(
        default=None,
        gt=0,
        description="size of the blocks between stages; default: what the cluster predicts in a tenth of a second, "
        "but at least 2 on a CPU and 16 on GPUs, and at most 128",
    )
    ontology: tuple[str, ...] = Field(
        default=(),
        description="ontologies (OBO or OBO Graphs JSON, plain or gzip) or compiled lexicons for the ids of mentions, "
        "local or s3://, or `embedded` for the lexicon that ships; default: those of the output's last run, else "
        "`embedded`",
    )
    dictionary: tuple[str, ...] = Field(
        default=(),
        description="lists of names to find beside the model's mentions: TSV with name, id and label, or LABEL=FILE of "
        "an ontology or of a TSV without labels; local or s3://",
    )
    concepts: bool = Field(default=True, description="map mentions to ontology concepts")
    min_score: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="lowest score of mentions to keep; 0 keeps all; default: from the model's config.json",
    )
    labels: tuple[str, ...] = Field(default=(), description="labels to find; default: all that the model has")
    grounded_only: tuple[str, ...] = Field(
        default=(), description="labels whose mentions are dropped if no concept fits; default: none"
    )
    concept_prefixes: dict[str, tuple[str, ...]] = Field(
        default={},
        description="prefixes of the concepts of each label, as Disease: [MONDO]; default: the ontology of each of "
        "CRAFT's labels",
    )
    keep_text: bool = Field(default=True, description="keep each document's text in the table `documents`")
    address: str | None = Field(default=None, description="Ray cluster; default: RAY_ADDRESS, else a new local Ray")
    cpus: int | None = Field(default=None, ge=1, description="CPU cores of a local Ray; default: all")
    keep_versions: int | None = Field(
        default=None,
        ge=0,
        description="earlier states of the tables to keep, for time travel and `craft-ray diff`; default: as in the "
        "last run, at first none",
    )
    compact: bool = Field(
        default=True, description="merge small files of the tables at a run's end, and from time to time in a long one"
    )
    max_rejected: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="share of rejected documents above which a run stops, after the first 100",
    )
    max_pruned: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="share of the documents that `prune` or `--deleted-from` may remove; a run that would remove more "
        "removes none",
    )
    log_format: LogFormat = Field(
        default="text", description="text: sentences; json: one object per line, with run and shard"
    )
    patience: float = Field(
        default=300,
        gt=0,
        description="seconds for which transient errors of object storage are retried, and after which a file "
        "that gives nothing is put aside",
    )
    notify: SecretStr | None = Field(
        default=None,
        description="web address that gets the summary as JSON when a run ends; from a file or a variable only",
    )
    wait_for: WaitForSettings = Field(
        default=WaitForSettings(),
        description="on an autoscaling cluster: resources to request and wait for before a run with new input starts",
    )
    s3: S3Settings = Field(default=S3Settings(), description="how to reach object storage")

    @field_validator("max_replicas")
    @classmethod
    def _check_max_replicas(cls, most: int | None, others: ValidationInfo) -> int | None:
        if most is not None and most < (others.data.get("replicas") or 1):
            raise PydanticCustomError("max_replicas", "less than replicas")
        return most

    @field_validator("prune")
    @classmethod
    def _check_prune(cls, prune: bool, others: ValidationInfo) -> bool:
        if prune and others.data.get("limit") is not None:
            raise PydanticCustomError("prune", "must be false with a limit")
        return prune

    @field_validator("notify")
    @classmethod
    def _check_notify(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            _check_web_address(url.get_secret_value())
        return url


def _check_web_address(url: str) -> None:
    """Raise PydanticCustomError, which does not show the address, for one that no request can be sent to."""
    if not url.startswith(("http://", "https://")):
        raise PydanticCustomError("web_address", "a web address begins with http:// or https://")
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0 and re.search(r"[\s\x00-\x1f\x7f]", url) is None
    except ValueError:  # of a port that is no number, or of brackets without an address
        is_valid = False
    if not is_valid:
        raise PydanticCustomError("web_address", "a web address has a host, perhaps a port, and no blanks")


class SettingArguments(TypedDict, total=False):
    """Settings as keyword arguments, of which each may be left out. A test compares the types."""

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


def load_settings(file: str | Path | None = None, **arguments: Any) -> Settings:
    """Load settings from arguments (None means not given), the environment and a YAML file, in this order.

    file: default is `craft-ray.yaml` in the current folder, if it exists, which cannot set `NOT_IN_FOUND_FILE`

    Raises SettingsError, with one sentence about all mistakes and their origins.
    """
    return settings_and_origins(file, **arguments)[0]


def settings_and_origins(file: str | Path | None = None, **arguments: Any) -> tuple[Settings, dict[Key, str]]:
    """Like `load_settings`, and return the origin of each value that is not a default."""
    found = file is None and Path(FILE).is_file()
    if found:
        file = FILE
    values, origins = read_yaml(file) if file is not None else ({}, {})
    if found:
        log.warning("settings of %s in the current folder apply", FILE)
        if forbidden := [name for name in NOT_IN_FOUND_FILE if name in values]:
            raise SettingsError(
                f"{FILE} sets {' and '.join(forbidden)}, which only a named file may do: --settings {FILE}"
            )
    environment = _environment()
    given = {name: value for name, value in arguments.items() if value is not None}
    for layer in (environment, given):
        values = _merged(values, layer)
    origins |= {key: _variable(key) for key in _keys(environment)}
    origins |= dict.fromkeys(_keys(given), "argument")
    return validated(Settings, values, origins), origins


def setting_descriptions(model: type[BaseModel] = Settings, above: Key = ()) -> Iterator[tuple[str, Any, str]]:
    """Yield the dotted name, the default and the description of each setting."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from setting_descriptions(inner, (*above, name))
        else:
            yield ".".join((*above, name)), field.default, str(field.description)


def _variable(key: Key) -> str:
    """The environment variable that a value comes from: its own, or one above or below it."""
    own = [PREFIX + "__".join(key[:length]).upper() for length in range(len(key), 0, -1)]
    below = (name for name in os.environ if name.upper().startswith(f"{own[0]}__"))
    return next((name for name in (*own, *below) if name in os.environ), own[0])


def _environment() -> dict[str, Any]:
    """Read settings from environment variables, and warn of those that are none.

    Raises SettingsError for one that is almost a setting.
    """
    names = {PREFIX + name.upper() for name in Settings.model_fields}
    settings = {name.removeprefix(PREFIX) for name in names}
    for name in os.environ:
        if name.startswith(PREFIX) and name.partition("__")[0] not in names and name not in NOT_SETTINGS:
            similar = "" if _OF_SERVICES.search(name) else nearest(name.removeprefix(PREFIX), settings)
            if similar:
                similar = similar.replace("mean ", f"mean {PREFIX}")
                raise SettingsError(f"the environment variable {name} is not a setting{similar}")
            log.warning("the environment variable %s is not a setting", name)
    if not any(name.upper().startswith(PREFIX) for name in os.environ):
        return {}
    from pydantic_settings import EnvSettingsSource  # takes as long as pydantic
    from pydantic_settings.exceptions import SettingsError as UnreadableVariable

    try:
        return dict(EnvSettingsSource(cast(Any, Settings), env_prefix=PREFIX, env_nested_delimiter="__")())
    except UnreadableVariable as error:
        raise SettingsError(f"environment: {str(error).splitlines()[0]}") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested values; those above override those below."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _keys(values: Mapping[str, Any], above: Key = ()) -> Iterator[Key]:
    for name, value in values.items():
        yield (*above, name)
        if isinstance(value, Mapping):
            yield from _keys(value, (*above, name))
