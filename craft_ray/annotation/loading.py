"""The model of a run, loaded beside all else that takes time at the start."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from craft_ray.core.connection import is_connected
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.processor import has_gpu
from craft_ray.model.inference import DeployedModel, prepare_model
from craft_ray.model.loading import find_model, load_checkpoint
from craft_ray.storage.storage import Storage

_Result = TypeVar("_Result")


class ModelLoading:
    """The model of a run on its way, beside all else that takes time at the start.

    Raises SettingsError at once for what can be no model.
    """

    def __init__(self, settings: Settings, storage: Storage) -> None:
        find_model(settings.model)
        self._settings = settings
        self.checkpoint = _in_background(lambda: _load(settings, storage))
        self._form: Future[DeployedModel | None] | None = None

    def fail_early(self) -> None:
        """Raise what loading has raised so far, so that a bad model need not wait for Ray."""
        if self.checkpoint.done():
            self.checkpoint.result()

    def prepare(self) -> None:
        """Begin to make the form for a CPU, where the run will use this machine alone and it has no GPU."""
        settings = self._settings
        if not (settings.address or os.environ.get("RAY_ADDRESS") or is_connected()):
            self._form = _in_background(lambda: _form_here(settings, self.checkpoint.result()))

    def form(self, device: str) -> DeployedModel:
        """The model as replicas on a kind of device are made from it."""
        form = self._form.result() if self._form else None
        if form is None or form.device != device:
            chosen = self._settings
            form = prepare_model(self.checkpoint.result(), device, chosen.precision, chosen.engine, chosen.compile)
        return form


def _load(settings: Settings, storage: Storage) -> Checkpoint:
    checkpoint = load_checkpoint(settings.model, storage.fetch)
    if settings.model_sha256 not in (None, checkpoint.fingerprint):
        raise SettingsError(
            f"the model {settings.model} has the fingerprint {checkpoint.fingerprint}, not model_sha256"
        )
    return checkpoint


def _form_here(settings: Settings, checkpoint: Checkpoint) -> DeployedModel | None:
    """A checkpoint's form for a CPU; None on a machine with a GPU."""
    if checkpoint.stand_in is None and has_gpu():
        return None
    return prepare_model(checkpoint, "cpu", settings.precision, settings.engine, settings.compile)


def _in_background(work: Callable[[], _Result]) -> "Future[_Result]":
    """The result of a function, once it is there."""
    pool = ThreadPoolExecutor(1, "craft-ray-loading")
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)
