"""A ledger in Ray's object store, where the driver and the tasks of a node have one between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import ray

from craft_ray.tables.ledger import COLUMNS, Ledger, Part


@dataclass(frozen=True, slots=True)
class SharedLedger:
    """A ledger as it was when it was shared: its columns, an object each."""

    columns: Sequence[ray.ObjectRef]

    @classmethod
    def of(cls, ledger: Ledger) -> "SharedLedger":
        """Share a ledger, which uses the arrays in the object store from then on.

        One column at a time is in memory twice: of 38 million documents the whole would be another gigabyte.
        """
        part = ledger.joined()
        columns = []
        for name in COLUMNS:
            columns.append(ray.put(getattr(part, name)))
            setattr(part, name, ray.get(columns[-1]))
        return cls(columns)

    def opened(self) -> Ledger:
        """The ledger, mapped and not copied."""
        return Ledger([Part(*ray.get(list(self.columns)))])
