"""The inputs of a run: checked and listed before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from craft_ray.model.inference import check_choice
from craft_ray.readers import deletions, is_shard_name, read_options
from craft_ray.readers.reader import ReadOptions
from craft_ray.storage.addresses import absolute
from craft_ray.storage.file_list import read_file_list
from craft_ray.storage.listing import file_of_format, list_shards
from craft_ray.storage.shards import FILES, Listing, Shard
from craft_ray.storage.storage import Storage


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run reads.

    named:        files, folders, archives and globs, as they were given
    inputs_from:  a list of further files (`storage.file_list`)
    deleted_from: a list of ids to delete (`readers.deletions`)
    """

    named: Sequence[str]
    inputs_from: str | None = None
    deleted_from: str | None = None

    @property
    def addresses(self) -> list[str]:
        """All of them, as a run record names them."""
        return [*map(absolute, self.named), *filter(None, (self.inputs_from, self.deleted_from))]


def check_settings(settings: Settings) -> None:
    """Raise SettingsError for settings that contradict each other."""
    read_options(settings)
    check_choice(settings.precision, settings.engine)


def options_for(shard: Shard, options: ReadOptions) -> ReadOptions:
    """The options with the format that a shard is read as whatever the settings say, if it has one."""
    return replace(options, format=shard.format) if shard.format else options


def list_inputs(storage: Storage, inputs: Inputs, output: str | None, prune: bool) -> Listing:
    """List all files of the inputs, the output's own apart.

    Raises SettingsError if an input does not exist or cannot be listed.
    """
    if prune and not (inputs.named or inputs.inputs_from):
        raise SettingsError("nothing can be pruned without inputs: name all files that the source has")
    listed = [FILES.empty_table()]
    if inputs.inputs_from:
        listed.append(read_file_list(storage, inputs.inputs_from, prune))
    if inputs.deleted_from:
        listed.append(file_of_format(storage, inputs.deleted_from, deletions.READER.name))
    return list_shards(storage, inputs.named, is_shard_name, output, pa.concat_tables(listed))
