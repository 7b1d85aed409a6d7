"""The version of the tables, a property of the table `documents`."""

from deltalake import DeltaTable

from craft_ray.core.errors import SettingsError

VERSION = 1

_PROPERTY = "craft-ray.schema"

PROPERTIES = {_PROPERTY: str(VERSION)}
"""Table properties of a new `documents` table."""


def check_version(documents: DeltaTable, output: str) -> None:
    """Raise SettingsError if the tables were written by a later craft_ray."""
    version = int(documents.metadata().configuration.get(_PROPERTY, VERSION))
    if version > VERSION:
        raise SettingsError(
            f"the tables of {output} have version {version}, written by a later craft_ray; this one reads version "
            f"{VERSION}: update craft_ray"
        )
