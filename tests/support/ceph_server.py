"""A Ceph cluster: a monitor, an OSD in memory, and the RADOS gateway (S3)."""

import secrets
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from cluster.local.cluster import on_free_ports
from tests.support.s3_server import S3Access, wait_until_it_takes_a_put

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")

CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
mon data = {folder}/mon
mon data avail warn = 1
mon data avail crit = 1
mon allow pool size one = true
mon max pg per osd = 1000
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 536870912
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
run dir = {folder}
pid file = {folder}/$name.pid
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
mon cluster log file = {folder}/cluster.log

[client.rgw]
keyring = {folder}/keyring
rgw frontends = beast endpoint=127.0.0.1:{s3_port}
"""


@dataclass
class CephAccess(S3Access):
    """Access to the gateway, and to its administration."""

    configuration: Path

    def administer(self, *command: str) -> None:
        _run("radosgw-admin", "-c", str(self.configuration), "-n", "client.rgw", *command)


@contextmanager
def running_ceph(folder: Path) -> Iterator[CephAccess]:
    """A cluster of one of each, its files below a folder; its processes are killed at the end.

    Skips the test where Ceph is not installed (Debian: ceph-mon, ceph-osd, radosgw).
    """
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"Ceph is not installed: no {missing[0]}")
    with on_free_ports(partial(ceph_on, folder)) as access:
        yield access


@contextmanager
def ceph_on(parent: Path, ports: range) -> Iterator[CephAccess]:
    port, s3_port, *_ = ports
    folder, fsid = parent / str(port), str(uuid.uuid4())
    folder.mkdir()
    configuration = folder / "ceph.conf"
    access = CephAccess(s3_port, secrets.token_hex(8), secrets.token_hex(16), configuration)
    configuration.write_text(CONFIGURATION.format(fsid=fsid, folder=folder, port=port, s3_port=s3_port))
    (folder / "mon").mkdir()
    (folder / "osd").mkdir()
    ours = ["-c", str(configuration)]
    monitors = str(folder / "monitors")
    _run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{port}]", "--fsid", fsid, monitors)
    _run("ceph-mon", *ours, "--mkfs", "-i", "a", "--monmap", monitors)
    with ExitStack() as processes:
        processes.enter_context(_process(folder, "ceph-mon", *ours, "-i", "a", "-f"))
        osd = str(uuid.uuid4())
        _run("ceph-osd", *ours, "-i", "0", "--mkfs", "--osd-uuid", osd)
        _run("ceph", *ours, "osd", "new", osd, "0")
        processes.enter_context(_process(folder, "ceph-osd", *ours, "-i", "0", "-f"))
        _run("ceph-authtool", "--create-keyring", str(folder / "keyring"), "--gen-key", "-n", "client.rgw")
        user = ["user", "create", "--uid=test", "--display-name=test"]
        access.administer(*user, f"--access-key={access.key}", f"--secret-key={access.secret}")
        gateway = processes.enter_context(_process(folder, "radosgw", *ours, "-n", "client.rgw", "-f"))
        wait_until_it_takes_a_put(access, gateway, folder / "radosgw.log", make_bucket=True)
        yield access


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{command} does not end: {error.stderr}") from None
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr[-2000:]}")


@contextmanager
def _process(folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{command[0]}.log").open("ab") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=30)
