"""The inputs of a run: checked and listed before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from craft_ray.core.errors import SettingsError, ShardError
from craft_ray.core.logs import log
from craft_ray.core.settings import Settings
from craft_ray.model.inference import check_combination
from craft_ray.readers import deletions, format_of, is_shard_name, read_options
from craft_ray.readers.reader import ReadOptions
from craft_ray.storage.addresses import absolute
from craft_ray.storage.file_list import read_file_list
from craft_ray.storage.listing import file_of_format, list_shards
from craft_ray.storage.shards import FILES, Listing, Shard
from craft_ray.storage.storage import Storage

MAX_NAMED = 20
"""Most files that are looked at before a run."""


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
    check_combination(settings.precision, settings.engine)


def options_for(shard: Shard, options: ReadOptions) -> ReadOptions:
    """The options with the format that a shard is read as whatever the settings say, if it has one."""
    return replace(options, format=shard.format) if shard.format else options


def check_formats(storage: Storage, inputs: Inputs, listing: Listing, settings: Settings) -> None:
    """Check the format of inputs that are single files, before the model is loaded and Ray is started.

    Logs a warning for each file that no reader recognizes. Raises SettingsError if no reader recognizes any input.
    """
    if len(listing) > MAX_NAMED:
        return
    named = set(inputs.addresses)
    options = read_options(settings)
    problems = {}
    for shard in listing.shards(np.arange(len(listing))):
        if shard.name in named:
            try:
                with storage.open(shard.name) as stream:
                    format_of(stream, shard.name, options_for(shard, options))
            except ShardError as error:
                if error.reason == "unknown_format":
                    problems[shard.name] = error.detail
            except OSError:
                continue  # reported by the run, which retries
    if problems and len(problems) == len(listing):
        raise SettingsError("; ".join(f"{name} cannot be read: {detail}" for name, detail in problems.items()))
    for name, detail in problems.items():
        log.warning("%s cannot be read: %s", name, detail)


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
