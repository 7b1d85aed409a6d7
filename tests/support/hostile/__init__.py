"""Inputs that mean harm, or look like it: a maker each, and what must become of what it makes.

In ids `@` stands for the name of the shard. Every shard has all of its rows listed, so a good document that is lost
with the bad ones around it, or a bad one that leaves no trace, fails as much as a wrong reason.
"""

from tests.support.hostile.containers import bombs, wrapped
from tests.support.hostile.making import Case
from tests.support.hostile.records import columns, encodings, identifiers, json_values, sizes, xml


def cases(long: bool = False) -> list[Case]:
    """All of the corpus; `long` has the largest inputs at full size."""
    made = [*wrapped(), *bombs(), *encodings(), *json_values(), *xml(), *columns(), *identifiers(), *sizes(long)]
    assert len({case.name for case in made}) == len(made)
    return made
