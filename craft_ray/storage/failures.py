"""Why storage failed: in words for a person, and whether it may pass.

s3fs, botocore, aiohttp and delta-rs have no common base for what they raise, and the last tells by its messages alone.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

from craft_ray.core.errors import CraftRayError, SettingsError


@contextmanager
def as_settings_error(what: str) -> Iterator[None]:
    """Turn what storage raises into a SettingsError that names the thing and the cause in one sentence."""
    try:
        yield
    except CraftRayError:
        raise
    except Exception as error:  # s3fs, botocore and aiohttp have no common base
        raise SettingsError(f"cannot reach {what}: {describe(error)}") from error


_CLIENTS = ("aiobotocore", "aiohttp", "botocore", "fsspec", "s3fs")


def is_transient(error: BaseException, also: tuple[type[Exception], ...] = ()) -> bool:
    """True if storage may work in a while: it did not answer, was too busy, or was cut short.

    also: exceptions of other clients that may pass, unless a disk is full
    """
    if isinstance(error, also):
        return describe(error) not in _FULL
    of_a_client = any(kind.__module__.partition(".")[0] in _CLIENTS for kind in type(error).__mro__)
    return (of_a_client or isinstance(error, OSError | asyncio.TimeoutError)) and describe(error) not in _LASTING


CHANGED = "it was changed meanwhile"
"""The cause of a write that was to happen only if nothing had changed."""

_DISK_FULL, _STORE_FULL = "the disk is full", "the object storage is full, or a quota of it is used up"
_FULL = frozenset((_DISK_FULL, _STORE_FULL))

_CAUSES = {
    "NoCredentialsError": "no AWS credentials were found: set them or a profile, or name the bucket in `s3.anonymous`",
    "PartialCredentialsError": "the AWS credentials are incomplete",
    "ProfileNotFound": "the AWS profile does not exist",
    "EndpointConnectionError": "nothing answers at the endpoint",
    "ConnectTimeoutError": "nothing answers at the endpoint",
    "ConnectionRefusedError": "nothing answers at the endpoint",
    "TimeoutError": "nothing answers at the endpoint",
    "gaierror": "the endpoint's name is unknown",
    "PermissionError": "access is denied; check the credentials and the path's permissions",
    "FileNotFoundError": "it does not exist",
    "NotADirectoryError": "a part of the path is a file",
    "FileExistsError": "a part of the path is a file",
    "PreconditionFailed": CHANGED,
    "FileExpired": CHANGED,
}

_CODES = {
    **dict.fromkeys(
        ("SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied", "403", "Forbidden"), _CAUSES["PermissionError"]
    ),
    **dict.fromkeys(("NoSuchBucket", "404", "NoSuchKey"), _CAUSES["FileNotFoundError"]),
    "PreconditionFailed": CHANGED,
    # MinIO's two and Ceph's. SeaweedFS answers as to faults that may pass.
    **dict.fromkeys(("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "507"), _STORE_FULL),
}
"""Causes by the codes of S3's answers, and by its status where an answer has no code."""

_TOLD = {
    r"XMinioStorageFull|QuotaExceeded|507 insufficient storage": _STORE_FULL,
    r"\b503\b|slow ?down|reduce your request rate": "the server asks for fewer requests (503)",
    r"error sending request|connection (refused|reset|closed)": "nothing answers at the endpoint",
    r"no space left|disk quota|\bstorage full\b": _DISK_FULL,
    r"\b403\b|access ?denied|signaturedoesnotmatch": _CAUSES["PermissionError"],
}
"""Failures that clients in other languages tell by their messages alone."""

_LASTING = _FULL | frozenset(
    _CAUSES[name]
    for name in (
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "PermissionError",
        "FileNotFoundError",
        "FileExistsError",
        "PreconditionFailed",
    )
)


def describe(error: BaseException) -> str:
    """Why storage failed, in words that hold no credential."""
    seen: BaseException | None = error
    while seen is not None:
        if (known := _CAUSES.get(type(seen).__name__)) is not None:
            return known
        answer = getattr(seen, "response", None)
        code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
        if (known := _CODES.get(code or "")) is not None:
            return known
        seen = seen.__cause__
    for told, meaning in _TOLD.items():
        if re.search(told, str(error), re.IGNORECASE):
            return meaning
    # delta-rs draws a tree of causes in colours.
    lines = [re.sub(r"\x1b\[\d+m|↳", "", line).strip() for line in str(error).splitlines()]
    return f"{type(error).__name__}: {' '.join(line for line in lines if line)[:500]}"


def explain(error: BaseException) -> str:
    """The cause of an error, in one sentence."""
    return str(error) if isinstance(error, CraftRayError) else describe(error)
