"""Runs the command on a cluster and a store, strikes it, repeats it until it completes, and compares the tables."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.local.cluster import ROOT, RayCluster, running_cluster
from tests.chaos.blows import BLOWS, Blow, Scene
from tests.chaos.inputs import write_inputs
from tests.chaos.proxy import Proxy, running_proxy
from tests.chaos.run import LONGEST_RUN, Run
from tests.support.commands import run_command
from tests.support.outputs import document_rows, entity_rows
from tests.support.s3_server import S3Server, running_s3_server

LONGEST_STOP = 10.0
"""Seconds that a driver has to end after SIGTERM."""

LONGEST_LOSS = 60.0
"""Seconds that a driver has to end after the head of its cluster is lost."""


@dataclass
class Harness:
    """Store, proxy and cluster, and runs on them.

    rate:     tokens per second of each replica
    struck:   blows, by name
    failures: broken promises: unclear errors, wrong exit codes, hanging runs, other tables, stray files
    """

    folder: Path
    store: S3Server
    proxy: Proxy
    cluster: RayCluster
    seed: int
    rate: int

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.begin()
        self.prefix = self.store.fresh_prefix()
        self.expected: tuple[list[Any], list[Any]]
        self._started: list[Run] = []
        self._began = time.monotonic()
        self._background: list[threading.Thread] = []

    def begin(self) -> None:
        """Begin to count anew."""
        self.struck: Counter[str] = Counter()
        self.failures: list[str] = []

    def log(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)

    def fresh_output(self) -> str:
        return f"{self.prefix}/out{self.random.getrandbits(40):010x}"

    def start(self, output: str, environment: dict[str, str] | None = None, hurried: bool = False) -> Run:
        """Start the command. hurried: with replicas of unlimited speed"""
        folder = self.folder / f"run{len(self._started) + 1}"
        folder.mkdir()
        command = [sys.executable, "-m", "craft_ray", "annotate", f"{self.prefix}/in", "--output", output]
        variables = {"CRAFT_RAY_BLOCK_MB": "0.08", "CRAFT_RAY_REPLICAS": "2", "CRAFT_RAY_PATIENCE": "20"}
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [*command, "--model", "stand-in" if hurried else f"stand-in:{self.rate}", "--json"],
                env=os.environ
                | self.cluster.environment
                | self.store.environment
                | {"AWS_ENDPOINT_URL": self.proxy.endpoint}
                | variables
                | (environment or {}),
                cwd=ROOT,
                stdout=stdout,
                stderr=stderr,
            )
        self._started.append(Run(process, folder))
        return self._started[-1]

    def prepare(self, documents: int) -> None:
        """Upload inputs of about so many documents, and expect the tables of a run that nothing disturbs."""
        inputs = self.folder / "in"
        inputs.mkdir()
        write_inputs(inputs, documents)
        self.store.filesystem().put(f"{inputs}/", f"{self.prefix}/in/", recursive=True)
        output = self.fresh_output()
        run = self.start(output, hurried=True)
        assert run.wait(LONGEST_RUN)
        assert run.code == 0, run.stderr
        self.expected = self.rows(output)
        self.log(f"undisturbed: {[len(rows) for rows in self.expected]} rows, seed {self.seed}")

    def rows(self, output: str) -> tuple[list[Any], list[Any]]:
        """Documents and entities in a fixed order, without the columns that differ between runs."""
        options = self.store.environment | {"AWS_ALLOW_HTTP": "true"}
        return document_rows(output, options), entity_rows(output, options)

    def commits(self, output: str) -> set[str]:
        """Log entries of `documents` that add files."""
        filesystem = self.store.filesystem()
        entries = filesystem.glob(f"{output}/documents/_delta_log/*.json")
        return {path for path in entries if b'"add":' in filesystem.cat_file(path)}

    def await_commits(self, run: Run, output: str, number: int) -> bool:
        """True if so many commits of documents come within 150 seconds and before the run ends."""
        before = self.commits(output)
        deadline = time.monotonic() + 150
        while len(self.commits(output) - before) < number:
            if run.wait(0.1) or time.monotonic() > deadline:
                return False
        return True

    def fill(self, output: str, blows: Sequence[str], patient: bool = False) -> None:
        """Run the command until it ends with 0, strike until all blows are used up, and compare.

        patient: strike after the first commit, and wait up to a minute for a target instead of skipping the blow
        """
        left = deque(BLOWS[name] for name in blows)
        while True:
            run = self.start(output, hurried=not left)
            self._strike(run, output, left, patient)
            if not run.wait(max(0.0, run.began + LONGEST_RUN - time.monotonic())):
                self._failed(run, "hangs")
            run.end()
            self._mend()
            self._judge(run)
            if run.code == 0:
                break
        found = self.rows(output)
        if found != self.expected:
            self.failures.append(f"{output}: {[len(rows) for rows in found]} rows, which an undisturbed run has not")
        verified = run_command("verify", output, environment=self.store.environment)
        if verified.code:
            self.failures.append(f"{output}: {verified.stdout}{verified.stderr}")

    def stop(self) -> None:
        for run in self._started:
            run.end()
        for thread in self._background:
            thread.join(timeout=120)

    def _strike(self, run: Run, output: str, left: deque[Blow], patient: bool) -> None:
        """Strike until the run ends, a fatal blow has struck, or no blow is left."""
        scene = Scene(self.cluster, self.store, self.proxy, run, self.random, self._background)
        longest = 8.0
        if not left:
            return
        if patient or self.random.random() < 0.6:  # else while the run is starting
            self.await_commits(run, output, 1)
            longest = 2.0
        while left and not run.wait(self.random.uniform(0.1, longest)):
            blow = left.popleft()
            longest = 2.0
            deadline = time.monotonic() + (60 if patient else 4)
            while not (struck := blow.strike(scene)) and time.monotonic() < deadline:
                if run.wait(0.02):
                    break
            if not struck:
                if run.code is not None:
                    break
                continue
            self.struck[blow.name] += 1
            run.blows.append(blow.name)
            self.log(f"{time.monotonic() - run.began:5.1f} s into the run: {blow.name}")
            if blow.name == "head lost":
                run.head_lost_at = time.monotonic()
            if blow.fatal:
                break

    def _mend(self) -> None:
        """Restore proxy, store and cluster."""
        self.proxy.heal()
        for thread in self._background:
            thread.join(timeout=120)
        self._background.clear()
        if not self.cluster.head.alive:
            self.cluster.restart()
        self.cluster.replace_dead_workers()

    def _judge(self, run: Run) -> None:
        """Check the exit code, time and last line of a run against its blows."""
        assert run.ended is not None
        code = run.code
        self.log(
            f"the run ended with {code} after {run.ended - run.began:.1f} s: {run.sentence[:160] if code else 'done'}"
        )
        if "Traceback (most recent call last)" in run.stderr and code != -signal.SIGKILL:
            self._failed(run, "ended with a traceback")
        if code in (1, 2) and not run.sentence.startswith("craft-ray: ") and run.head_lost_at is None:
            self._failed(run, f"ended with {code} and no sentence that says why")
        hurt = any(BLOWS[name].storage for name in run.blows)
        if run.terminated_at is not None:
            if code not in (0, 3) and not (code in (1, 2) and hurt):
                self._failed(run, f"ended with {code} after SIGTERM")
            if (stop := run.ended - run.terminated_at) > LONGEST_STOP:
                self._failed(run, f"took {stop:.1f} s to end after SIGTERM")
        elif run.head_lost_at is not None:
            if (lost := run.ended - run.head_lost_at) > LONGEST_LOSS:
                self._failed(run, f"took {lost:.1f} s to end after it lost the head")
        elif "driver killed" not in run.blows and code not in (0, 1) and not (code == 2 and hurt):
            self._failed(run, f"ended with {code}")
        if code == 0 and not (run.summary and run.summary["adds_up"]):
            self._failed(run, "ended with 0 and a summary that does not add up")

    def _failed(self, run: Run, what: str) -> None:
        tail = "\n".join(run.stderr.strip().splitlines()[-25:])
        self.log(f"FAILURE: a run {what} (blows: {', '.join(run.blows) or 'none'})\n{tail}")
        self.failures.append(f"{run.folder.name} {what} after {', '.join(run.blows) or 'no blow'}: {run.sentence}")


@contextmanager
def running_harness(folder: Path, seed: int, documents: int, rate: int) -> Iterator[Harness]:
    """Store, proxy, cluster of three nodes, and inputs of about so many documents; stopped at the end."""
    (folder / "store").mkdir(parents=True)
    with running_s3_server(folder / "store") as store, running_proxy(store.endpoint, seed) as proxy:
        environment = store.environment | {"AWS_ENDPOINT_URL": proxy.endpoint}
        with running_cluster(environment, options=("--no-monitor",)) as cluster:  # it does not grow
            harness = Harness(folder, store, proxy, cluster, seed, rate)
            try:
                harness.prepare(documents)
                yield harness
            finally:
                harness.stop()
