"""A ledger in Ray's object store, shared by the driver and the read tasks of each node."""

from collections.abc import Sequence
from dataclasses import dataclass

import ray

from craft_ray.tables.ledger import COLUMNS, Ledger, Part


@dataclass(frozen=True, slots=True)
class SharedLedger:
    """A ledger as it was when it was shared. columns: those of the merged part, one object each"""

    columns: Sequence[ray.ObjectRef]

    @classmethod
    def of(cls, ledger: Ledger) -> "SharedLedger":
        """Share a ledger, which from then on uses the arrays in the object store itself.

        Only one column at a time is in memory twice: of 38 million documents, a whole copy takes another gigabyte.
        """
        part = ledger.merged()
        columns = []
        for name in COLUMNS:
            columns.append(ray.put(getattr(part, name)))
            setattr(part, name, ray.get(columns[-1]))
        return cls(columns)

    def opened(self) -> Ledger:
        """The ledger, whose arrays are mapped and not copied."""
        return Ledger([Part(*ray.get(list(self.columns)))])
