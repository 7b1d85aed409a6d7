"""Properties of the table `documents`: the version of the tables, and the secret with which ids are hashed."""

import secrets

from deltalake import DeltaTable

from craft_ray.core.errors import SettingsError
from craft_ray.tables.identity import IdHasher

VERSION = 1

_VERSION, _ID_KEY = "craft-ray.schema", "craft-ray.id-key"


def new_properties() -> dict[str, str]:
    """Properties of a new `documents` table."""
    return {_VERSION: str(VERSION), _ID_KEY: secrets.token_hex(16)}


def check_version(documents: DeltaTable, output: str) -> None:
    """Raise SettingsError if the tables were written by a later craft_ray."""
    version = int(documents.metadata().configuration.get(_VERSION, VERSION))
    if version > VERSION:
        raise SettingsError(
            f"the tables of {output} have version {version}, written by a later craft_ray; this one reads version "
            f"{VERSION}: update craft_ray"
        )


def id_hasher(documents: DeltaTable) -> IdHasher:
    """The hasher of the output's document ids."""
    return IdHasher(bytes.fromhex(documents.metadata().configuration[_ID_KEY]))
