"""The speed of a run over time and the duration of its steps, from its record."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

STEPS = {
    "ray_ready": "Ray starts",
    "model_ready": "model is made ready",
    "first_block": "first block",
    "first_commit": "first commit",
    "last_commit": "all the rest",
}
"""The step that ends at each point of a run's timeline."""

LAST_STEP = "tables are closed"


def speeds(progress: Sequence[Sequence[float]], bars: int = 60) -> list[dict[str, float]]:
    """Documents and tokens per second between commits.

    progress: seconds since the start, documents and tokens at each commit
    bars:     upper bound of intervals; short ones are merged

    Returns intervals with `from` and `until` (seconds), `documents` (per second) and `speed` (tokens per second).
    """
    points = [(0.0, 0.0, 0.0), *((at, documents, tokens) for at, documents, tokens in progress)]
    min_length = points[-1][0] / bars
    kept = points[:1]
    for point in points[1:]:
        if point[0] - kept[-1][0] >= min_length and point[0] > kept[-1][0]:
            kept.append(point)
        elif len(kept) > 1:
            kept[-1] = (kept[-1][0], *point[1:]) if point[0] <= kept[-1][0] else point
    return [
        {
            "from": began,
            "until": ended,
            "documents": (documents - before) / (ended - began),
            "speed": (tokens - earlier) / (ended - began),
        }
        for (began, before, earlier), (ended, documents, tokens) in pairwise(kept)
    ]


def steps(account: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps of a run with `step`, and `from` and `until` in seconds since its start.

    account: from the run's record
    """
    return list(_steps(account.get("timeline") or {}, float(account.get("seconds") or 0)))


def _steps(timeline: Mapping[str, float], seconds: float) -> Iterator[dict[str, Any]]:
    at = 0.0
    for point, step in STEPS.items():
        if point in timeline:
            yield {"step": step, "from": at, "until": max(at, timeline[point])}
            at = max(at, timeline[point])
    if seconds > at and timeline:
        yield {"step": LAST_STEP, "from": at, "until": seconds}
