"""The pool of replicas, each of which begins a block while its device still computes the last one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray.data

from craft_ray.annotation.pipeline import replica_pool
from craft_ray.annotation.plan import Attempt
from craft_ray.model.engines import ENGINES
from craft_ray.model.engines.engine import EngineSpec
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from tests.support.models import predict, windows_of

SECONDS = 60


class Device:
    """Computes a batch once it is allowed to, and notes what happens to each, by its first word piece."""

    depth = 2
    packs = False

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.began: dict[int, threading.Event] = {}
        self.allowed: dict[int, threading.Event] = {}

    def expect(self, piece: int) -> None:
        self.began[piece], self.allowed[piece] = threading.Event(), threading.Event()

    def start(self, batch):
        piece = int(batch.token_ids[0, 1])
        self.events.append(("began", piece))
        self.began[piece].set()
        return piece, batch.token_ids.shape

    def finish(self, started):
        piece, shape = started
        assert self.allowed[piece].wait(SECONDS)
        self.events.append(("done", piece))
        return np.zeros(shape, np.int8), np.ones(shape, np.float32)


def test_blocks_overlap_on_a_gpu(tiny_checkpoint: Path, monkeypatch):
    device = Device()
    spec = EngineSpec("noting", {"cpu": ("fp32",)}, lambda *_: "fp32", lambda *_: None, lambda *_: device)
    monkeypatch.setitem(ENGINES, spec.name, spec)
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    model = Model(prepare_model(checkpoint, engine="noting"), token_budget=16)
    blocks = [["mouse", "rat", "cell"], ["gene"]]
    first, second = (windows_of(checkpoint, block) for block in blocks)
    mouse, rat, cell, gene = [*first.token_ids.tolist(), *second.token_ids.tolist()]
    for piece in (mouse, rat, cell, gene):
        device.expect(piece)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(predict, model, first)
        assert device.began[rat].wait(SECONDS)  # two are begun, as many as the device takes at once
        other = pool.submit(predict, model, second)
        device.allowed[mouse].set()
        assert device.began[gene].wait(SECONDS)  # the first block's last two are still computed
        assert device.events == [("began", mouse), ("began", rat), ("done", mouse), ("began", cell), ("began", gene)]
        for piece in (rat, cell, gene):
            device.allowed[piece].set()
        assert len(one.result(SECONDS)[0]) == 3
        assert len(other.result(SECONDS)[0]) == 1


@pytest.mark.parametrize("step", ["start", "finish", "answer"])
def test_a_block_that_fails_lets_the_next_one_begin(tiny_checkpoint: Path, monkeypatch, step: str):
    class Fails(Device):
        def start(self, batch):
            if step == "start" and int(batch.token_ids[0, 1]) == bad:
                raise ValueError("no")
            return super().start(batch)

        def finish(self, started):
            if step == "finish" and started[0] == bad:
                raise ValueError("no")
            label, score = super().finish(started)
            return (label[:, :1] if started[0] == bad else label), score

    device = Fails()
    spec = EngineSpec("noting", {"cpu": ("fp32",)}, lambda *_: "fp32", lambda *_: None, lambda *_: device)
    monkeypatch.setitem(ENGINES, spec.name, spec)
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    model = Model(prepare_model(checkpoint, engine="noting"), token_budget=16)
    broken, sound = (windows_of(checkpoint, block) for block in (["mouse", "rat", "cell"], ["gene"]))
    bad = int(broken.token_ids[0])
    for each in (*broken.token_ids.tolist(), *sound.token_ids.tolist()):
        device.expect(each)
        device.allowed[each].set()
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises((ValueError, IndexError)) as held:  # with its frames, as a replica's handler holds them
            predict(model, broken)
        assert len(pool.submit(predict, model, sound).result(SECONDS)[0]) == 1
        assert held.tb is not None


class Meeting:
    """Answers a block when another one has come as well."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2)

    def __call__(self, block: pa.Table) -> pa.Table:
        self._barrier.wait(SECONDS)
        return block


@pytest.mark.integration
@pytest.mark.usefixtures("local_ray")
def test_ray_data_gives_a_replica_two_blocks_at_once():
    blocks = ray.data.range(4, override_num_blocks=4)
    met = blocks.map_batches(
        Meeting, batch_format="pyarrow", compute=replica_pool(1, 1, Attempt.FIRST, on_gpus=True), num_cpus=0.25
    )
    assert sorted(row["id"] for row in met.take_all()) == [0, 1, 2, 3]


@pytest.mark.parametrize(("attempt", "in_flight"), [(Attempt.FIRST, None), (Attempt.ISOLATE, 1)])
def test_ray_scales_the_pool_within_its_bounds(attempt: Attempt, in_flight: int | None):
    pool = replica_pool(2, 5, attempt, on_gpus=False)
    assert (pool.min_size, pool.max_size, pool.max_tasks_in_flight_per_actor) == (2, 5, in_flight)
