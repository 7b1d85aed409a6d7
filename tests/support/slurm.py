"""A Slurm of two nodes with one CPU each on this machine (Debian's slurm-wlm and munge)."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.local.cluster import on_free_ports

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
ReturnToService=2
KillWait=30
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first_port} CPUs=1 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second_port} CPUs=1 RealMemory=4000
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 GraceTime=60 PreemptMode=REQUEUE
PartitionName=high Nodes=n1,n2 PriorityTier=2 PreemptMode=OFF
"""
"""`cred_expire` is also the time that a requeued job waits, by default 120 s."""


@dataclass
class Slurm:
    """A controller and two nodes."""

    folder: Path
    ports: range
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str | Path, **environment: str) -> str:
        """Run a command of Slurm. Raises RuntimeError with its stderr if it fails."""
        done = subprocess.run(
            [str(part) for part in command],
            env=os.environ | self.environment | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """Fields of a job, such as JobState, ExitCode, Restarts and Reason."""
        fields = self.run("scontrol", "--oneliner", "show", "job", number).split()
        return dict(field.partition("=")[::2] for field in fields)

    def wait(self, number: str, condition: Callable[[dict[str, str]], bool], seconds: float = 240) -> dict[str, str]:
        """Wait for a condition; returns the job's fields."""
        deadline = time.monotonic() + seconds
        while not condition(job := self.job(number)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {number} is {job['JobState']} ({job['Reason']})\n{self.logs()}")
            time.sleep(0.2)
        return job

    def logs(self) -> str:
        paths = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in paths)

    def start(self) -> None:
        """Start munge, the controller and the nodes, and wait until the nodes take jobs."""
        (self.folder / "state").mkdir()
        controller, first, second, *_ = self.ports
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                host=socket.gethostname().partition(".")[0],
                user=pwd.getpwuid(os.getuid()).pw_name,
                controller_port=controller,
                first_port=first,
                second_port=second,
            )
        )
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        munge = [f"--{name}={self.folder}/munge.{name.removesuffix('-file')}" for name in ("socket", "pid-file")]
        munge += [f"--log-file={self.folder}/munge-own.log", f"--seed-file={self.folder}/munge.seed"]
        self._spawn("munged", "--foreground", f"--key-file={key}", *munge)
        self.until(lambda: (self.folder / "munge.socket").exists())
        self._spawn("slurmctld", "-D", "-i")
        for node in ("n1", "n2"):
            self._spawn("slurmd", "-D", "-N", node, log=f"slurmd-{node}.log")
        self.until(lambda: self._states() == ["idle", "idle"])

    def stop(self) -> None:
        """Cancel all jobs, then end the processes, last one first."""
        if len(self.processes) == 4 and self.processes[1].poll() is None:
            self.run("scancel", "--user", pwd.getpwuid(os.getuid()).pw_name)
            self.until(lambda: not self.run("squeue", "--noheader"))
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(timeout=30)

    def _states(self) -> Sequence[str]:
        try:
            return self.run("sinfo", "--Node", "--noheader", "--partition=low", "--format=%T").split()
        except RuntimeError:
            return []

    def until(self, condition: Callable[[], bool], seconds: float = 240) -> None:
        """Wait for a condition. Raises RuntimeError with the logs if a process ends before."""
        deadline = time.monotonic() + seconds
        while not condition():
            ended = [process.args for process in self.processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"Slurm is not ready; ended: {ended}\n{self.logs()}")
            time.sleep(0.1)

    def _spawn(self, *command: str, log: str | None = None) -> None:
        with (self.folder / (log or f"{command[0]}.log")).open("wb") as stream:
            self.processes.append(
                subprocess.Popen(command, env=os.environ | self.environment, stdout=stream, stderr=stream)
            )


@contextmanager
def running_slurm() -> Iterator[Slurm]:
    """A controller with two idle nodes, stopped at the end."""
    with on_free_ports(slurm_on) as slurm:
        yield slurm


@contextmanager
def slurm_on(ports: range) -> Iterator[Slurm]:
    slurm = Slurm(Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")), ports)  # short, for munge's socket
    slurm.folder.chmod(0o755)  # munge refuses a folder that others cannot reach
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(slurm.folder, ignore_errors=True)


def missing() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]
