"""Which storage errors may pass, and what they are called.

s3fs, botocore and aiohttp share no base class. delta-rs raises OSError or DeltaError and names the cause in its text.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from craft_ray.core.errors import CraftRayError, SettingsError

CHANGED = "it was changed meanwhile"
"""Cause of a conditional write that found another object than expected."""

NO_BUCKET = "the bucket does not exist"

_UNREACHABLE = "nothing answers at the endpoint"
_UNKNOWN_HOST = "no address is known of the endpoint"
_MISSING = "it does not exist"
_DENIED = "access is denied; check the credentials and the path's permissions"
_EXPIRED = "the AWS credentials have expired"
_SSO_EXPIRED = "the SSO session has expired: run `aws sso login`"
_BUSY = "the server asks for fewer requests"
_STORE_FULL = "the object storage is full, or a quota of it is used up"

_BY_CODE = {
    **dict.fromkeys(("AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"), _DENIED),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException"), _EXPIRED),
    "NoSuchBucket": NO_BUCKET,
    **dict.fromkeys(("NoSuchKey", "404"), _MISSING),
    **dict.fromkeys(("PreconditionFailed", "412"), CHANGED),
    **dict.fromkeys(("PermanentRedirect", "301"), "the bucket is in another region or at another endpoint"),
    **dict.fromkeys(("SlowDown", "429", "503"), _BUSY),
    # MinIO answers 507 with the first two, Ceph 403 with the third. SeaweedFS answers as for any fault.
    **dict.fromkeys(("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "507"), _STORE_FULL),
}
"""Causes by the error code of an S3 answer, or by its HTTP status."""

_BY_CLASS = {
    "NoCredentialsError": "no AWS credentials were found: set them or a profile, or name the bucket in `s3.anonymous`",
    "PartialCredentialsError": "the AWS credentials are incomplete",
    "ProfileNotFound": "the AWS profile does not exist",
    "NoRegionError": "no region is set: give `s3.region` or AWS_REGION",
    **dict.fromkeys(("SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError"), _SSO_EXPIRED),
    **dict.fromkeys(("EndpointConnectionError", "ConnectTimeoutError"), _UNREACHABLE),
    **dict.fromkeys(("ConnectionRefusedError", "TimeoutError"), _UNREACHABLE),
    "gaierror": _UNKNOWN_HOST,
    "PermissionError": _DENIED,
    "FileNotFoundError": _MISSING,
    **dict.fromkeys(("NotADirectoryError", "FileExistsError"), "a part of the path is a file"),
    "FileExpired": CHANGED,
    "UnicodeDecodeError": "it is not UTF-8",
}

_BY_TEXT = {
    r"no space left|disk quota|\bstorage full\b": "the disk is full",
    r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate": "the endpoint's TLS certificate is not trusted",
    r"\bHTTP error\b": _UNREACHABLE,  # delta-rs, for a request without an answer
}

_TRANSIENT_CODES = ("RequestTimeout", "SlowDown", "OperationAborted", "ConditionalRequestConflict")
_TRANSIENT_STATUSES = {408, 429, *range(500, 600)} - {501, 507}

_TRANSIENT_CLASSES = (
    "ConnectionError",  # Python's and botocore's, with timeouts while connecting
    "HTTPClientError",  # botocore: read timeouts, closed connections
    "IncompleteReadError",  # botocore
    "MetadataRetrievalError",  # botocore: the credentials' server on the same node
    "ClientConnectionError",  # aiohttp
    "ClientPayloadError",  # aiohttp: a body that ends early
    "TimeoutError",
    "gaierror",
)
"""Base classes of errors without an answer, by name: importing their packages takes half a second."""


@contextmanager
def as_settings_error(resource: str) -> Iterator[None]:
    """Turn storage errors into a SettingsError that names the resource and the cause."""
    try:
        yield
    except CraftRayError:
        raise
    except Exception as error:  # s3fs, botocore and aiohttp share no base class
        raise SettingsError(f"cannot reach {resource}: {describe(error)}") from error


def is_transient(error: BaseException) -> bool:
    """True for timeouts, lost connections, throttling and faults of the server; all other errors are permanent."""
    if isinstance(error, CraftRayError):
        return False
    code, status = _answer(error)
    if code or status:
        return code in _TRANSIENT_CODES or status in _TRANSIENT_STATUSES
    if (cause := _cause_by_text(error)) is not None:
        return cause == _UNREACHABLE
    return any(kind.__name__ in _TRANSIENT_CLASSES for one in _chain(error) for kind in type(one).__mro__)


def describe(error: BaseException) -> str:
    """The cause of a storage error in words, without credentials."""
    code, status = _answer(error)
    by_class = (_BY_CLASS.get(type(one).__name__) for one in _chain(error))
    causes = (_BY_CODE.get(code), _BY_CODE.get(str(status)), *by_class, _cause_by_text(error))
    text = f"{type(error).__name__}: {_text(error)[:500]}"
    return next((cause for cause in causes if cause is not None), text)


def describe_at(error: BaseException, endpoint: str | None) -> str:
    """Like `describe`, and names the endpoint of object storage if it is what failed."""
    cause = describe(error)
    return f"{cause} {endpoint}" if endpoint and cause in (_UNREACHABLE, _UNKNOWN_HOST) else cause


def explain(error: BaseException) -> str:
    """The cause of any error in one sentence."""
    return str(error) if isinstance(error, CraftRayError) else describe(error)


def _answer(error: BaseException) -> tuple[str, int]:
    """Error code and HTTP status of the S3 server's answer; "" and 0 where unknown."""
    for one in _chain(error):
        answer = getattr(one, "response", None)
        if isinstance(answer, dict):
            code = str(answer.get("Error", {}).get("Code", ""))
            return code, int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = _text(error)
    found_code = re.search(r"<Code>(\w+)</Code>", text)
    found_status = re.search(r"non-2xx status code\W+(\d{3})\b", text)
    return found_code[1] if found_code else "", int(found_status[1]) if found_status else 0


def _cause_by_text(error: BaseException) -> str | None:
    text = _text(error)
    return next((cause for pattern, cause in _BY_TEXT.items() if re.search(pattern, text, re.IGNORECASE)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _text(error: BaseException) -> str:
    """The message on one line, without the colours and arrows of delta-rs."""
    return " ".join(re.sub(r"\x1b\[\d+m|↳", "", str(error)).split())
