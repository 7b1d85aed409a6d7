"""Runs the command on a cluster and a store, strikes it, repeats it until it completes, and compares the tables."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import craft_ray
from cluster.local.cluster import ROOT, RayCluster, running_cluster
from craft_ray.core.errors import OutputBusyError
from tests.chaos import outcome
from tests.chaos.blows import BLOWS, OVERTAKEN, Blow, Scene
from tests.chaos.inputs import write_inputs
from tests.chaos.proxy import Proxy, running_proxy
from tests.chaos.run import Run
from tests.support.commands import run_command
from tests.support.s3_server import S3Server, running_s3_server

LONGEST_STOP = 10.0
"""Seconds that a driver has to end after SIGTERM."""

LONGEST_LOSS = 60.0
"""Seconds that a driver has to end after the head of its cluster is lost."""


@dataclass
class Harness:
    """Store, proxy and cluster, and runs on them.

    struck:   blows, by name
    failures: broken promises: unclear errors, wrong exit codes, hanging runs, lost or duplicate documents, stray files
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
        self.expected: outcome.Outcome
        self._inputs = self.folder / "in"
        self._started: list[Run] = []
        self._began = time.monotonic()
        self._background: list[threading.Thread] = []

    def log(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)

    def fresh_output(self) -> str:
        return f"{self.prefix}/out{self.random.getrandbits(40):010x}"

    def upload(self, documents: int) -> None:
        self._inputs.mkdir()
        write_inputs(self._inputs, documents)
        self.store.filesystem().put(f"{self._inputs}/", f"{self.prefix}/in/", recursive=True)

    def start(
        self, output: str, environment: dict[str, str] | None = None, hurried: bool = False, elsewhere: bool = False
    ) -> Run:
        """Start the command.

        hurried:   with replicas of unlimited speed
        elsewhere: under another host name, so that it cannot see whether the process of an earlier run lives
        """
        folder = self.folder / f"run{len(self._started) + 1}"
        folder.mkdir()
        command = [sys.executable, "-m", "craft_ray", "annotate", f"{self.prefix}/in", "--output", output]
        if elsewhere:
            command = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh", *command]
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

    def wait_for_commits(self, run: Run, output: str, number: int) -> None:
        """Wait for so many commits of documents. Raises RuntimeError if the run ends before."""
        if not self._await_commits(run, output, number):
            raise RuntimeError(f"no {number} commits came (exit code {run.code}):\n{run.stderr[-3000:]}")

    def _await_commits(self, run: Run, output: str, number: int) -> bool:
        """True if so many commits of documents come within 150 seconds and before the run ends."""
        before = outcome.commits(self.store, output)
        deadline = time.monotonic() + 150
        while len(outcome.commits(self.store, output) - before) < number:
            if run.wait(0.1) or time.monotonic() > deadline:
                return False
        return True

    def begin(self) -> None:
        """Begin to count anew."""
        self.struck: Counter[str] = Counter()
        self.failures: list[str] = []

    def undisturbed(self) -> None:
        """Run once on disk in this process, and expect its tables from all other runs."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self.folder) as output:
            craft_ray.annotate(str(self._inputs), output, model="stand-in")
            self.expected = outcome.outcome(output).moved(str(self._inputs), f"{self.prefix}/in")
        self.log(
            f"undisturbed: {len(self.expected.documents)} rows of documents, {len(self.expected.entities)} of entities"
            f" in {time.monotonic() - began:.1f} s, seed {self.seed}"
        )

    def fill(self, output: str, blows: Sequence[str], patient: bool = False) -> None:
        """Run the command until it ends with 0, strike until all blows are used up, and compare.

        patient: strike after the first commit, and wait up to a minute for a target instead of skipping the blow
        """
        left = deque(BLOWS[name] for name in blows)
        seen: Counter[str] = Counter()
        asleep: Run | None = None
        while True:
            run = self.start(output, hurried=not left, elsewhere=asleep is not None)
            self._strike(run, output, left, patient)
            if run.blows[-1:] == [OVERTAKEN]:
                self._await_sleeper(asleep)
                asleep = run
                continue
            if not run.wait(max(0.0, run.latest - time.monotonic())):
                self._failed(run, "hangs")
            run.end()
            self._mend()
            self._judge(run, other=asleep)
            if run.code == 0 and asleep is None:
                break
            self._check_between_runs(output, seen, run)
            if run.code in (0, OutputBusyError.exit_code):
                self._await_sleeper(asleep)
                asleep = None  # one more run removes its files
        self.compare(output)

    def _await_sleeper(self, asleep: Run | None) -> None:
        """Wait until a suspended run has woken up and ended, and judge it."""
        if asleep is not None:
            if not asleep.wait(max(0.0, asleep.latest - time.monotonic())):
                self._failed(asleep, "hangs after it woke up")
            asleep.end()
            self._judge(asleep)

    def compare(self, output: str) -> None:
        """Compare an output at rest with the undisturbed one."""
        found = outcome.outcome(output, outcome.options(self.store))
        counts = {
            "lost": (self.expected.ids - found.ids).total(),
            "duplicated": sum(number - 1 for number in found.ids.values()),
            "different": outcome.differing(found, self.expected),
            "files": sum(len(outcome.unreferenced(self.store, output, name)) for name in ("entities", "documents")),
        }
        self.log(f"compared {len(found.documents)} documents: {counts}")
        if any(counts.values()):
            self.failures.append(f"{output}: {counts}")
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
            self._await_commits(run, output, 1)
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

    def _judge(self, run: Run, other: Run | None = None) -> None:
        """Check the exit code, time and last line of a run against its blows.

        other: a suspended run of the same output
        """
        assert run.ended is not None
        code = run.code
        self.log(
            f"the run ended with {code} after {run.ended - run.began:.1f} s: {run.sentence[:160] if code else 'done'}"
        )
        if "Traceback (most recent call last)" in run.stderr and code != -signal.SIGKILL:
            self._failed(run, "ended with a traceback")
        if code in (1, 2) and not run.sentence.startswith("craft-ray: ") and run.head_lost_at is None:
            self._failed(run, f"ended with {code} and no sentence that says why")
        if run.terminated_at is not None:
            stop = run.ended - max(run.terminated_at, run.awake_at)
            hurt = any(BLOWS[name].storage for name in run.blows)
            if code not in (0, 3) and not (code in (1, 2) and hurt):
                self._failed(run, f"ended with {code} after SIGTERM")
            if stop > LONGEST_STOP:
                self._failed(run, f"took {stop:.1f} s to end after SIGTERM")
        elif run.head_lost_at is not None:
            if (lost := run.ended - run.head_lost_at) > LONGEST_LOSS:
                self._failed(run, f"took {lost:.1f} s to end after it lost the head")
        elif "driver killed" not in run.blows and code not in _allowed(run, other):
            self._failed(run, f"ended with {code}")
        if code == 0 and not (run.summary and run.summary["adds_up"]):
            self._failed(run, "ended with 0 and a summary that does not add up")

    def _failed(self, run: Run, what: str) -> None:
        tail = "\n".join(run.stderr.strip().splitlines()[-25:])
        self.log(f"FAILURE: a run {what} (blows: {', '.join(run.blows) or 'none'})\n{tail}")
        self.failures.append(f"{run.folder.name} {what} after {', '.join(run.blows) or 'no blow'}: {run.sentence}")

    def _check_between_runs(self, output: str, seen: Counter[str], run: Run) -> None:
        """Check that no document is incomplete and that none has vanished."""
        now, halves = outcome.patiently(lambda: outcome.committed(self.store, output))
        vanished = (seen - now).total()
        if halves or vanished:
            self._failed(run, f"left {halves} half documents, and {vanished} committed ones have vanished")
        seen |= now
        self.log(f"between runs: {now.total()} documents committed")


def _allowed(run: Run, other: Run | None) -> set[int]:
    """Exit codes that a run may have which got no signal to end.

    A run that was suspended before it had the lease finds another one at work when it wakes up.
    """
    hurt = {2} if any(BLOWS[name].storage for name in run.blows) else set()
    busy = other is not None or OVERTAKEN in run.blows
    return {0, 1} | hurt | ({OutputBusyError.exit_code} if busy else set())


@contextmanager
def running_harness(folder: Path, seed: int, documents: int, rate: int) -> Iterator[Harness]:
    """Store, proxy, cluster of three nodes, and inputs, stopped at the end.

    documents: size of the input
    rate:      tokens per second of each of two stand-in replicas
    """
    (folder / "store").mkdir(parents=True)
    with running_s3_server(folder / "store") as store, running_proxy(store.endpoint, seed) as proxy:
        environment = store.environment | {"AWS_ENDPOINT_URL": proxy.endpoint}
        with running_cluster(environment, options=("--no-monitor",)) as cluster:  # it does not grow
            harness = Harness(folder, store, proxy, cluster, seed, rate)
            try:
                harness.upload(documents)
                yield harness
            finally:
                harness.stop()


def campaign(harness: Harness, blows: int) -> None:
    """Deal so many random blows, a few for each output, and compare the outputs."""
    harness.undisturbed()
    while (left := blows - harness.struck.total()) > 0:
        number = min(left, harness.random.randint(6, 14))
        weights = [blow.weight for blow in BLOWS.values()]
        harness.fill(harness.fresh_output(), harness.random.choices(list(BLOWS), weights, k=number))
        harness.log(f"{harness.struck.total()} of {blows} blows")
