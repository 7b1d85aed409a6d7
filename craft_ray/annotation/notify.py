"""Tell a web address how a run ended. It is bounded in time, and never changes how the run ends."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from craft_ray.core.logs import log
from craft_ray.core.version import __version__

PATIENCE = 10.0
"""Seconds that the address has to answer."""


def notify(url: str, told: Mapping[str, Any], patience: float = PATIENCE) -> bool:
    """POST a run's summary as JSON; true if the address took it. What fails is logged, without the address's path.

    url: http:// or https://; it may hold a secret, as those of chat services do, so it is never written anywhere
    """
    request = urllib.request.Request(
        url,
        data=json.dumps(told).encode(),
        headers={"Content-Type": "application/json", "User-Agent": f"craft-ray/{__version__}"},
    )
    host = urlsplit(url).hostname
    try:
        with urllib.request.urlopen(request, timeout=patience) as answer:
            return 200 <= int(answer.status) < 300
    except (OSError, ValueError) as error:  # an answer of 400 and more is an OSError as well
        reason = getattr(error, "code", None) or type(getattr(error, "reason", error)).__name__
        log.warning("could not notify %s of the run's end: %s", host, reason)
        return False
