"""How each document that arrives changes the counts of a run.

`committed` are rows of this run in the tables. `unchanged` documents are in the tables from an earlier run.
`superseded` documents lost to another revision, or to the same document in another file of this run.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from craft_ray.tables.ledger import Outcome


class Counts(NamedTuple):
    """Numbers of documents; every document that is found counts in exactly one of them."""

    committed: int = 0
    unchanged: int = 0
    superseded: int = 0


CHANGES = {
    # (the look-up says, the existing row is of this run): the change
    (Outcome.NEW, False): Counts(committed=1),
    (Outcome.REVISED, False): Counts(committed=1),
    (Outcome.REVISED, True): Counts(superseded=1),  # it takes the place of a committed row, which is superseded
    (Outcome.SUPERSEDED, False): Counts(superseded=1),
    (Outcome.SUPERSEDED, True): Counts(superseded=1),
    (Outcome.UNCHANGED, False): Counts(unchanged=1),
    (Outcome.UNCHANGED, True): Counts(superseded=1),
    (Outcome.DUPLICATE, False): Counts(unchanged=1),
    (Outcome.DUPLICATE, True): Counts(superseded=1),
}

_TABLE = np.zeros((len(Outcome), 2, len(Counts._fields)), np.int64)
for (_outcome, _in_run), _change in CHANGES.items():
    _TABLE[_outcome, int(_in_run)] = _change


def changes(outcomes: NDArray[np.int8], in_run: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The change that each document makes, shape (documents, 3) in the order of `Counts`."""
    table: NDArray[np.int64] = _TABLE[outcomes, in_run.astype(np.intp)]
    return table


def restart(counts: Counts) -> Counts:
    """The change when a shard is read again, after a reading of it that counted as `counts`.

    What the first reading committed stays in the tables. The second one finds it there, and counts it as superseded.
    """
    return Counts(unchanged=-counts.unchanged, superseded=-counts.superseded - counts.committed)
