"""The account of a run, live and at its end, and the record that is kept of it in OUT/runs."""

import json
import platform
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from craft_ray.schema import RETRACTED
from craft_ray.staging import StagedBlock
from craft_ray.storage import Shard, Storage, join

PACKAGES = (
    "craft-ray",
    "ray",
    "torch",
    "transformers",
    "tokenizers",
    "pyarrow",
    "deltalake",
    "s3fs",
    "lxml",
    "nupunkt",
)


@dataclass(slots=True)
class Account:
    """What became of every shard and every document; grows as blocks arrive and are committed."""

    shards: Sequence[Shard]
    passed_over: Sequence[str] = ()
    started: float = field(default_factory=time.monotonic)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    exact: bool = True
    """Whether `statuses`, `reasons` and `labels` are what stands in the tables of this run."""
    tokens: int = 0
    superseded: int = 0
    ends: dict[int, dict[str, Any]] = field(default_factory=dict)
    bytes_done: int = 0
    _received: Counter[int] = field(default_factory=Counter)
    _redone: int = 0
    timeline: dict[str, float] = field(default_factory=dict)
    """Seconds from the start to the first time that each step was reached."""
    _commits: list[tuple[float, int]] = field(default_factory=list)
    bytes_total: int = 0
    _sizes: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sizes = {shard.number: shard.size for shard in self.shards}
        self.bytes_total = sum(self._sizes.values())

    def reached(self, step: str, at: float | None = None) -> None:
        """Note in the timeline that a step is reached, now or at a time of the monotonic clock."""
        self.timeline.setdefault(step, round((at or time.monotonic()) - self.started, 3))

    def arrived(self, block: StagedBlock) -> None:
        """Count a block's documents and closed shards as received."""
        self.reached("first_block")
        self.tokens += block.tokens
        for number, status in zip(block.shard_number.tolist(), block.status, strict=True):
            if status != RETRACTED:
                self._received[number] += 1
        for number, dropped in block.superseded.items():
            self._received[number] += dropped
            self.superseded += dropped
        for end in block.shard_ends:
            number = end["shard_number"]
            if number not in self.ends:
                self.bytes_done += self._sizes[number]
            self.ends[number] = end

    def wrote(self, blocks: Sequence[StagedBlock]) -> None:
        """Count the documents and entities of one commit's blocks as committed."""
        self.reached("first_commit")
        before = self._commits[-1][1] if self._commits else 0
        self._commits.append((time.monotonic(), before + sum(block.tokens for block in blocks)))
        for block in blocks:
            self.statuses.update(status for status in block.status if status != RETRACTED)
            self.reasons.update(reason for reason in block.reason if reason)
            self.labels.update(block.labels)

    @property
    def steady_rate(self) -> float | None:
        """Tokens a second between the first commit and the last, which leaves starting and closing out."""
        if len(self._commits) < 2:
            return None
        (began, first), (ended, last) = self._commits[0], self._commits[-1]
        return (last - first) / (ended - began)

    def missing(self) -> list[Shard]:
        """Shards that did not close, or of which fewer or more documents arrived than were read."""
        return [
            shard
            for shard in self.shards
            if shard.number not in self.ends or self.ends[shard.number]["emitted"] != self._received[shard.number]
        ]

    def forget(self, shards: Sequence[Shard]) -> None:
        """Make ready to read shards again; what arrived of them is in the tables and will be found unchanged there."""
        for shard in shards:
            self._redone += self._received.pop(shard.number, 0)
            if self.ends.pop(shard.number, None) is not None:
                self.bytes_done -= shard.size

    @property
    def found(self) -> int:
        """Documents found in all closed shards."""
        return sum(int(end["found"]) for end in self.ends.values())

    @property
    def unchanged(self) -> int:
        """Documents that the tables held already."""
        return sum(int(end["unchanged"]) for end in self.ends.values()) - self._redone

    @property
    def committed(self) -> int:
        """Documents written by this run."""
        return sum(self.statuses.values())

    def adds_up(self) -> bool:
        """Whether each document found is accounted for."""
        superseded = self.superseded + sum(end["superseded"] for end in self.ends.values())
        return not self.missing() and self.found == self.committed + self.unchanged + superseded

    def summary(self) -> dict[str, Any]:
        """The account as JSON has it."""
        seconds = time.monotonic() - self.started
        ends = self.ends.values()
        broken = {end["shard"]: f"{end['reason']}: {end['detail']}" for end in ends if end["reason"]}
        return {
            "documents": {
                "found": self.found,
                **{status: self.statuses[status] for status in ("annotated", "rejected", "deleted")},
                "unchanged": self.unchanged,
                "superseded": self.superseded + sum(end["superseded"] for end in ends),
            },
            "rejected": dict(sorted(self.reasons.items())),
            "entities": dict(sorted(self.labels.items())),
            "shards": {
                "found": len(self.shards),
                "read": len(self.ends) - len(broken),
                "broken": broken,
                "passed_over": list(self.passed_over),
            },
            "tokens": self.tokens,
            "seconds": round(seconds, 3),
            "tokens_per_second": round(self.tokens / seconds, 1),
            "steady_tokens_per_second": self.steady_rate and round(self.steady_rate, 1),
            "seconds_to_first_commit": self.timeline.get("first_commit"),
            "timeline": dict(self.timeline),
            "adds_up": self.adds_up(),
        }


class RunRecord:
    """`OUT/runs/<run_id>.json`: where every row of the tables comes from. Written at the start and at the end."""

    def __init__(self, storage: Storage, folder: str, **facts: Any) -> None:
        now = datetime.now(UTC)
        self.run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._storage = storage
        self._url = join(folder, "runs", f"{self.run_id}.json")
        self._content = {
            "run_id": self.run_id,
            "status": "running",
            "started": now.isoformat(timespec="seconds"),
            "finished": None,
            **facts,
            "versions": {"python": platform.python_version()} | _versions(),
        }
        self._write()

    def close(self, status: str, account: Account, error: str | None = None) -> None:
        """Record how the run ended, and its account with a line for each shard."""
        shards = [
            {"name": shard.name, "size": shard.size}
            | {key: value for key, value in account.ends.get(shard.number, {}).items() if key not in _REPEATED}
            for shard in account.shards
        ]
        self._content |= {
            "status": status,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "error": error,
            "account": account.summary(),
            "shards": shards,
        }
        self._write()

    def _write(self) -> None:
        self._storage.write_bytes(self._url, (json.dumps(self._content, indent=1) + "\n").encode())


_REPEATED = ("shard", "shard_number")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
