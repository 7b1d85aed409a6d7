"""Hostile inputs, and the outcome of every document in them.

In ids `@` is the name of the shard. All rows of a shard are listed, so a lost good document fails a test as a wrong
reason does.
"""

from tests.support.hostile.containers import bombs, wrapped
from tests.support.hostile.making import Case
from tests.support.hostile.records import columns, encodings, identifiers, json_values, sizes, xml


def cases(long: bool = False) -> list[Case]:
    """The whole corpus; `long` makes the largest inputs at full size."""
    made = [*wrapped(), *bombs(), *encodings(), *json_values(), *xml(), *columns(), *identifiers(), *sizes(long)]
    assert len({case.name for case in made}) == len(made)
    return made
