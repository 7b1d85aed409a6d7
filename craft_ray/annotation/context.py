"""State that all steps of a run share: settings, the connection to Ray, and the model, loading in the background."""

import hashlib
import importlib
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from craft_ray.annotation.account import Account, Timeline
from craft_ray.annotation.concepts import load_run_grounder
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.lexicon_files import open_ontology
from craft_ray.core.connection import is_connected, ray_session
from craft_ray.core.errors import SettingsError, StoppedError
from craft_ray.core.pandas_later import let_pandas_in
from craft_ray.core.settings import Settings
from craft_ray.core.signals import StopRequest
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
        self._checkpoint = self._pool.submit(self._load, storage)
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
            self._deployed = self._pool.submit(
                lambda: None if self.checkpoint.stand_in is None and has_gpu() else self._deploy("cpu")
            )

    def deployed(self, device: str) -> DeployedModel:
        """The model as replicas on a device ("cpu" or "cuda") are made of it."""
        deployed = self._deployed.result() if self._deployed else None
        return deployed if deployed and deployed.device == device else self._deploy(device)

    def _load(self, storage: Storage) -> Checkpoint:
        checkpoint, wanted = load_run_checkpoint(self._settings, storage), self._settings.model_sha256
        if wanted not in (None, checkpoint.fingerprint):
            found = f"has the fingerprint {checkpoint.fingerprint}, not model_sha256"
            raise SettingsError(f"the model {self._settings.model} {found}")
        return checkpoint

    def _deploy(self, device: str) -> DeployedModel:
        settings = self._settings
        return prepare_model(self.checkpoint, device, settings.precision, settings.engine, settings.compile)


def load_run_checkpoint(settings: Settings, storage: Storage) -> Checkpoint:
    """The checkpoint of the settings, with a fingerprint of all that decides which mentions it finds.

    Raises SettingsError if the model or a dictionary cannot be used.
    """
    checkpoint = load_checkpoint(settings.model, storage.fetch).with_labels(settings.labels)
    if settings.concepts:
        checkpoint = checkpoint.with_candidates()
    if not settings.dictionary:
        return checkpoint
    digests = [checkpoint.fingerprint]
    for label, _, path in (file.rpartition("=") for file in settings.dictionary):
        with open_ontology(storage, path) as stream:
            digests += [label, hashlib.sha256(stream.read()).hexdigest()]
    return replace(checkpoint, fingerprint=hashlib.sha256(json.dumps(digests).encode()).hexdigest())


@dataclass(slots=True)
class RunContext:
    """A run on one output, which it has locked.

    requested:  the settings as they were given
    settings:   the same, with the ontologies of earlier runs on this output if none were given
    model:      the model, which is loaded in the background
    lease_lost: set when another run has taken the lease
    cleanup:    closes the connection to Ray at the end
    grounder:   gives entities their concepts; None until `load_lexicon`, and if the settings ask for no concepts
    """

    run_id: str
    storage: Storage
    output: str
    requested: Settings
    settings: Settings
    model: ModelLoading
    stop: StopRequest
    lease_lost: threading.Event
    on_progress: Callable[[Account], None]
    timeline: Timeline
    cleanup: ExitStack
    grounder: Grounder | None = None
    _connected: bool = field(default=False, init=False)

    @property
    def checkpoint(self) -> Checkpoint:
        """The model's checkpoint. Waits until it is loaded; raises SettingsError if it cannot be used."""
        return self.model.checkpoint

    def load_lexicon(self) -> None:
        """Load what gives entities their concepts, once.

        Raises SettingsError if an ontology cannot be used.
        """
        if self.grounder is None:
            self.grounder = load_run_grounder(self.requested, self.settings, self.storage, self.checkpoint)

    def connect(self) -> None:
        """Connect to Ray, once: a cluster, or a new local Ray that ends with the run.

        Raises SettingsError if the model, an ontology or the cluster's address is wrong.
        """
        if self._connected:
            return
        let_pandas_in()
        self.model.start_deploying()
        self.load_lexicon()
        # Before Ray is connected: where nodes share a machine, one of them may remove the job's package later.
        importlib.import_module("craft_ray.annotation.passes")
        self.on_progress(Account(timeline=self.timeline))
        self.cleanup.enter_context(ray_session(self.settings))
        self.stop.listen()  # Ray has replaced the signal handlers
        self.model.raise_early()
        self.timeline.reached("ray_ready")
        self.on_progress(Account(timeline=self.timeline))
        self._connected = True

    def raise_if_stopped(self) -> None:
        """Raise StoppedError if SIGINT or SIGTERM has come."""
        if self.stop.is_set():
            raise StoppedError
