"""The version of an output's tables, a property of `documents`: what a later craft_ray has written is not touched.

1  has no such property. Documents without an id are named by the address of their shard.
2  `shards` has the column `named`. Documents without an id are named by their path from the input's own folder on.

An output of version 1 gets the columns of version 2 when a run opens it, and goes on naming documents as it did.
"""

from deltalake import DeltaTable

from craft_ray.core.errors import SettingsError

VERSION = 2

_VERSION, _NAMES = "craft-ray.schema", "craft-ray.names"
_BY_PATH, _BY_ADDRESS = "path", "address"

NEW = {_VERSION: str(VERSION), _NAMES: _BY_PATH}
"""Properties of a table `documents` that is made now."""

MIGRATED = {_VERSION: str(VERSION), _NAMES: _BY_ADDRESS}
"""Those of one that an earlier version has made."""


def version_of(documents: DeltaTable) -> int:
    """The version of an output's tables, by its table `documents`."""
    return int(documents.metadata().configuration.get(_VERSION, 1))


def names_by_path(documents: DeltaTable) -> bool:
    """True if documents without an id are named by their path from the input's own folder on, else by the address."""
    return bool(documents.metadata().configuration.get(_NAMES, _BY_ADDRESS) == _BY_PATH)


def check_version(documents: DeltaTable, output: str) -> None:
    """Raise SettingsError if a later craft_ray has written the tables."""
    if (version := version_of(documents)) > VERSION:
        raise SettingsError(
            f"the tables of {output} are of version {version}, which a later craft_ray has written; this one knows "
            f"versions up to {VERSION}: update craft_ray"
        )
