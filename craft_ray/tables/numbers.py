"""The numbers of commits: Delta application transactions, also kept in the commit info of the log."""

import secrets
from collections.abc import Mapping
from typing import Any

from deltalake import CommitProperties, DeltaTable, Transaction

SEQUENCE, PAIR = "craft-ray", "craft-ray-pair"
"""Names of the application transactions, and of their keys in the commit info."""

_RANDOM_BITS = 24


def next_number(last: int) -> int:
    """A number above the last one that no other process makes: its lower bits are random."""
    return ((last >> _RANDOM_BITS) + 1) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)


def commit_properties(number: int, pair: int) -> CommitProperties:
    """Commit properties that set both transactions."""
    return CommitProperties(
        app_transactions=[Transaction(SEQUENCE, number), Transaction(PAIR, pair)],
        custom_metadata={SEQUENCE: str(number), PAIR: str(pair)},
    )


def pair_of(table: DeltaTable) -> int:
    """The number of the last pair of commits in a table, 0 in a new table."""
    return table.transaction_version(PAIR) or 0


def pair_of_commit(commit: Mapping[str, Any]) -> int | None:
    """The pair number in a commit's log entry, or None for a commit made by another program."""
    number = commit.get(PAIR)
    return None if number is None else int(number)
