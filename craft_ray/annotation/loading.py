"""The model of a run, loaded in background threads while inputs are listed and Ray starts."""

import os
from concurrent.futures import Future, ThreadPoolExecutor

from craft_ray.core.connection import is_connected
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import DeployedModel
from craft_ray.model.engines.processor import has_gpu
from craft_ray.model.inference import prepare_model
from craft_ray.model.loading import find_model, load_checkpoint
from craft_ray.storage.storage import Storage


class ModelLoading:
    """Loads the checkpoint of a run, and what replicas are made of.

    Raises SettingsError at once if the settings name no model.
    """

    def __init__(self, settings: Settings, storage: Storage) -> None:
        find_model(settings.model)
        self._settings = settings
        self._pool = ThreadPoolExecutor(2, "craft-ray-loading")
        self._checkpoint = self._pool.submit(_load, settings, storage)
        self._deployed: Future[DeployedModel | None] | None = None

    def raise_early(self) -> None:
        """Raise if loading or preparing has failed by now, so that a bad model leaves nothing behind."""
        for future in (self._checkpoint, self._deployed):
            if future is not None and future.done():
                future.result()

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint. Waits until it is loaded; raises SettingsError if it cannot be used."""
        return self._checkpoint.result()

    def start_deploying(self) -> None:
        """Start to prepare the model for this machine's CPU, if the run is going to use that."""
        if not (self._settings.address or os.environ.get("RAY_ADDRESS") or is_connected()):
            self._deployed = self._pool.submit(self._deploy_on_cpu)

    def deployed(self, device: str) -> DeployedModel:
        """The model as replicas on a device ("cpu" or "cuda") are made of it."""
        deployed = self._deployed.result() if self._deployed else None
        return deployed if deployed and deployed.device == device else self._deploy(device)

    def _deploy(self, device: str) -> DeployedModel:
        settings = self._settings
        return prepare_model(self.checkpoint, device, settings.precision, settings.engine, settings.compile)

    def _deploy_on_cpu(self) -> DeployedModel | None:
        return None if self.checkpoint.stand_in is None and has_gpu() else self._deploy("cpu")


def _load(settings: Settings, storage: Storage) -> Checkpoint:
    checkpoint = load_checkpoint(settings.model, storage.fetch).with_labels(settings.labels)
    if settings.model_sha256 not in (None, checkpoint.fingerprint):
        raise SettingsError(
            f"the model {settings.model} has the fingerprint {checkpoint.fingerprint}, not model_sha256"
        )
    return checkpoint
