"""POST a run's summary to a web address. Takes bounded time and never changes how the run ends."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from craft_ray.core.logs import log
from craft_ray.core.version import __version__

TIMEOUT_S = 10.0


def notify(url: str, summary: Mapping[str, Any], timeout: float = TIMEOUT_S) -> bool:
    """Return whether the address accepted the JSON. Failures are logged.

    The path of the address may be a secret, as with webhooks of chat services, so only the host is logged.
    """
    headers = {"Content-Type": "application/json", "User-Agent": f"craft-ray/{__version__}"}
    host = urlsplit(url).hostname
    try:
        request = urllib.request.Request(url, data=json.dumps(summary).encode(), headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return 200 <= int(response.status) < 300
    except Exception as error:  # whatever it is: the run has ended, and keeps its exit code
        reason = getattr(error, "code", None) or type(getattr(error, "reason", error)).__name__
        log.warning("could not notify %s of the run's end: %s", host, reason)
        return False
