"""The account of a run as it is reported: the summary as JSON, and the counts for Prometheus."""

from collections import Counter
from typing import Any

from craft_ray.annotation.account import MAX_LISTED, Account


def summarize(account: Account) -> dict[str, Any]:
    """The account as JSON has it.

    If a run was stopped, documents that are found but in no other count are left for the next run.
    """
    arrivals, committed, up_to_date, timeline = (
        account.arrivals,
        account.committed,
        account.up_to_date,
        account.timeline,
    )
    statuses = committed.statuses + Counter(deleted=account.pruned)
    seconds, rate = timeline.seconds, timeline.steady_rate
    return {
        "documents": {
            # Documents of shards that have not closed may be accounted for before they count as found.
            "found": max(account.found, account.accounted) + account.pruned,
            **{status: statuses[status] for status in ("annotated", "rejected", "deleted")},
            "unchanged": account.unchanged,
            "superseded": arrivals.superseded,
        },
        "titles_alone": arrivals.titles_alone,
        "rejected": dict(sorted(committed.reasons.items())),
        "entities": dict(sorted(committed.labels.items())),
        "with_id": {label: committed.with_id[label] for label in sorted(committed.labels)},
        "left_out": dict(sorted(account.left_out.items())),
        "shards": {
            "found": len(account.shards) + up_to_date.shards + len(up_to_date.broken),
            "known": up_to_date.shards,
            "read": account.shards_read,
            "unreadable": account.broken_shards,
            "newly_broken": account.broken_shards - len(up_to_date.broken),
            "broken": dict(account.broken),
            "cut_short": account.cut_short,
            "passed_over": account.ignored_files[:MAX_LISTED].to_pylist(),
            "files_passed_over": len(account.ignored_files),
        },
        "tokens": account.tokens,
        "precisions": dict(sorted(account.precisions.items())),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(account.tokens / seconds, 1),
        "steady_tokens_per_second": rate and round(rate, 1),
        "seconds_to_first_commit": timeline.steps.get("first_commit"),
        "timeline": dict(timeline.steps),
        "adds_up": account.adds_up(),
    }


def metrics(account: Account) -> dict[str, dict[str, int]]:
    """Counts by metric and label value (`prometheus.PrometheusCounters`).

    A row of this run that a revision has replaced counts as committed and as superseded.
    """
    arrivals, committed = account.arrivals, account.committed
    return {
        "craft_ray_documents": {
            **committed.statuses,
            "unchanged": account.unchanged,
            "superseded": arrivals.superseded,
        },
        "craft_ray_rejected": dict(committed.reasons),
        "craft_ray_entities": dict(committed.labels),
        "craft_ray_shards": {"read": account.shards_read, "broken": account.broken_shards},
        "craft_ray_tokens": {"": account.tokens},
        "craft_ray_bytes_read": {"": arrivals.bytes_done},
    }
