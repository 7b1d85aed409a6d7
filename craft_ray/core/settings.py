"""One frozen Settings for a run: from arguments, then the environment (`CRAFT_RAY_*`), then a YAML file, then defaults.

Checked before Ray starts. Credentials are no setting: they come from the usual AWS environment, profile or role.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from craft_ray.core.errors import SettingsError
from craft_ray.core.logs import LogFormat

EMBEDDED = "embedded"


class S3Settings(BaseModel):
    """How to reach object storage; what is not given comes from the AWS environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint_url: str | None = Field(None, description="server to use in place of AWS: http://127.0.0.1:8333")
    region: str | None = None
    profile: str | None = Field(None, description="profile of the AWS configuration files")
    anonymous: bool | tuple[str, ...] = Field(
        (), description="public buckets to read without credentials: their names, or true for all that the run touches"
    )
    requester_pays: bool = Field(False, description="accept the costs of reading from requester-pays buckets")

    def is_anonymous(self, bucket: str) -> bool:
        """Whether a bucket is reached without credentials."""
        return self.anonymous if isinstance(self.anonymous, bool) else bucket in self.anonymous


class WaitForSettings(BaseModel):
    """What a cluster that grows on demand is asked for, where there is work, before the work is laid out on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpus: int = Field(0, ge=0, description="GPUs of the whole cluster")
    cpus: int = Field(0, ge=0, description="CPU cores of the whole cluster")
    seconds: float = Field(
        900, gt=0, description="after these the run goes on with what is there, or fails for want of it"
    )


class Settings(BaseSettings):
    """Everything that decides a run beside its inputs and its output."""

    model_config = SettingsConfigDict(env_prefix="CRAFT_RAY_", env_nested_delimiter="__", frozen=True, extra="forbid")

    model: str = Field(EMBEDDED, description="`embedded`, a folder (local or s3://) or a Hugging Face id")
    format: str | None = Field(
        None,
        description="format of all inputs, as in the README of readers; told by name and content if not given",
    )
    model_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="fingerprint that the model must have, as a run's record gives it"
    )
    replicas: int | None = Field(None, ge=1, description="model replicas; one a GPU, else one for eight CPU cores")
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto", description="number format of the model; auto is the fastest that does no harm, fp32 the exact one"
    )
    engine: str = Field("auto", description="what runs the model; openvino on a CPU and torch on a GPU if not given")
    compile: bool = Field(
        False, description="compile the model for a GPU (torch.compile): a minute at the start, for long runs"
    )
    token_budget: int | None = Field(
        None, ge=64, description="padded tokens in a model batch; 512 on a CPU and 65,536 on a GPU if not given"
    )
    block_mb: float | None = Field(
        None, gt=0, description="size of the blocks that travel; 2 on a CPU and 16 on a GPU if not given"
    )
    keep_text: bool = Field(True, description="keep each document's text in the documents table")
    address: str | None = Field(None, description="Ray cluster to use; RAY_ADDRESS, or a new local one, if not given")
    cpus: int | None = Field(None, ge=1, description="CPU cores of a local Ray; all if not given")
    keep_versions: int = Field(
        0,
        ge=0,
        description="earlier states of the tables to keep beside the last: for time travel and `craft-ray diff`",
    )
    compact: bool = Field(True, description="merge small files of the tables when a run ends")
    max_rejected: float = Field(
        0.9,
        ge=0,
        le=1,
        description="share of a run's documents that may be rejected before it stops; judged from 100 on",
    )
    log_format: LogFormat = Field(
        "text", description="log lines as sentences for people, or as JSON for machines, with run and shard"
    )
    patience: float = Field(
        300, gt=0, description="seconds for which object storage may fail again and again before the run gives up"
    )
    wait_for: WaitForSettings = WaitForSettings()  # type: ignore[call-arg]  # as below
    s3: S3Settings = S3Settings()  # type: ignore[call-arg]  # the plugin does not see defaults given by position

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment; a YAML file comes in below both through `load_settings`."""
        return init_settings, env_settings, _FileSource(settings_cls)


class _FileSource(PydanticBaseSettingsSource):
    """The values of the YAML file that `load_settings` is reading."""

    values: ClassVar[dict[str, Any]] = {}

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """One field's value, as the base class asks for it."""
        return self.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All values."""
        return self.values


def load_settings(file: str | Path | None = None, **arguments: Any) -> Settings:
    """Settings from arguments (None means not given), the environment and a YAML file, in this order.

    Raises SettingsError in one sentence that names the setting.
    """
    _FileSource.values = _read_yaml(file) if file is not None else {}
    try:
        return Settings(**{name: value for name, value in arguments.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        given = f", not {first['input']!r}" if isinstance(first["input"], str | int | float) else ""
        raise SettingsError(f"setting {name}: {first['msg']}{given}") from error
    finally:
        _FileSource.values = {}


def _read_yaml(file: str | Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {file} is not YAML: {str(error).splitlines()[0]}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"the settings file {file} holds no settings, only {type(content).__name__}")
    return {str(name): value for name, value in content.items()}
