"""What all steps of a run share."""

import importlib
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from craft_ray.annotation.account import Account
from craft_ray.annotation.concepts import load_run_grounder
from craft_ray.annotation.loading import ModelLoading
from craft_ray.annotation.timeline import Timeline
from craft_ray.concepts.grounding import Grounder
from craft_ray.core.connection import ray_session
from craft_ray.core.errors import StoppedError
from craft_ray.core.settings import Settings
from craft_ray.core.signals import StopRequest
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.storage.storage import Storage


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
        self.model.start_deploying()
        self.load_lexicon()
        # Before Ray is connected: where nodes share a machine, one of them may remove the job's package later.
        importlib.import_module("craft_ray.annotation.annotating")
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
