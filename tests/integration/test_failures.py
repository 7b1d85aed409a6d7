"""Failures within a run: documents that crash a process, models that fail, wrong input, lost documents."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import ray

import craft_ray
from craft_ray.annotation.account import Account
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.run import annotate
from craft_ray.core.errors import RunError
from craft_ray.core.settings import Settings
from craft_ray.tables.writer import Tables
from tests.conftest import start_ray
from tests.support.outputs import assert_consistent, document_rows

pytestmark = pytest.mark.integration

POISON = "poison"


@contextmanager
def ray_whose_workers(setup: Callable[[], None]) -> Iterator[None]:
    """A local Ray whose worker processes run `setup` first; a plain one again afterwards."""
    ray.shutdown()
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": setup, "env_vars": {"PYTHONPATH": os.getcwd()}},
    )
    try:
        yield
    finally:
        ray.shutdown()
        start_ray()


def crash(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(*_: object) -> None:
    raise RuntimeError("a tensor of the wrong shape")


def replica_that(reacts: Callable[[], None]) -> Callable[[], None]:
    """Setup of a worker whose model cannot take a poisonous document."""

    def setup() -> None:
        from craft_ray.annotation import replica

        predict_block = replica.predict_block

        def predict(block: pa.Table, model):
            if pc.any(pc.match_substring(block["text"], POISON)).as_py():
                reacts()
            return predict_block(block, model)

        replica.predict_block = predict

    return setup


def reader_crashes() -> None:
    """Setup of a worker whose parser crashes on a poisonous shard."""
    from craft_ray.annotation import prepare

    read_items = prepare.read_items

    def read(stream, shard, *more):
        if POISON in shard:
            crash()
        return read_items(stream, shard, *more)

    prepare.read_items = read


def write(folder: Path, name: str, texts: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    lines = (json.dumps({"id": doc_id, "text": text}) for doc_id, text in texts.items())
    (folder / name).write_text("\n".join(lines))


GOOD = {f"good{number}": f"Mouse {number} has Pax6 in its eye." for number in range(60)}


def outcomes(output: Path) -> dict[str, tuple[str, str | None]]:
    return {row["doc_id"]: (row["status"], row["reason"]) for row in document_rows(output)}


@pytest.mark.long
@pytest.mark.parametrize("reaction", [crash, fail])
def test_a_document_that_breaks_the_model_is_rejected_alone(reaction: Callable[[], None], tmp_path: Path):
    texts = dict(list(GOOD.items())[:30]) | {"bad": f"This is {POISON}."} | dict(list(GOOD.items())[30:])
    write(tmp_path / "in", "a.jsonl", texts)
    write(tmp_path / "in", "b.jsonl", {"other": "Yeast grows."})
    with ray_whose_workers(replica_that(reaction)):
        summary = craft_ray.annotate(str(tmp_path / "in"), str(tmp_path / "out"), model="stand-in")
    assert summary["adds_up"]
    assert outcomes(tmp_path / "out") == dict.fromkeys([*GOOD, "other"], ("annotated", None)) | {
        "bad": ("rejected", "failed")
    }
    assert_consistent(tmp_path / "out")

    craft_ray.annotate(str(tmp_path / "in"), str(tmp_path / "out"), model="stand-in")
    assert outcomes(tmp_path / "out")["bad"] == ("annotated", None)


@pytest.mark.long
def test_a_shard_that_crashes_the_reader_is_rejected_alone(tmp_path: Path):
    write(tmp_path / "in", "a.jsonl", GOOD)
    write(tmp_path / "in", f"{POISON}.jsonl", {"bad": "Yeast grows."})
    with ray_whose_workers(reader_crashes):
        summary = craft_ray.annotate(str(tmp_path / "in"), str(tmp_path / "out"), model="stand-in")
    assert summary["adds_up"]
    unreadable = f"in/{POISON}.jsonl#unreadable"
    assert outcomes(tmp_path / "out") == dict.fromkeys(GOOD, ("annotated", None)) | {unreadable: ("rejected", "failed")}
    assert_consistent(tmp_path / "out")


@pytest.mark.parametrize(
    ("owner", "step", "error"),
    [
        (Account, "commit", "the account does not add up"),
        (Tables, "append", "the documents table holds 0 rows where the account has 2"),
        (Commits, "add", r"1 shards are not finished, as .*good.jsonl"),
    ],
)
def test_a_run_that_loses_documents_fails(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, step: str, error: str
):
    write(tmp_path, "good.jsonl", {"a": "A mouse.", "b": "A rat."})
    monkeypatch.setattr(owner, step, lambda *_: None)
    with pytest.raises(RunError, match=error):
        craft_ray.annotate(f"{tmp_path}/*.jsonl", str(tmp_path / "out"), model="stand-in")


def test_a_run_that_loses_its_lease_stops(local_ray: None, tmp_path: Path):
    """The next heartbeat, at most 5 s later, finds another run's lease."""
    write(tmp_path, "good.jsonl", GOOD)

    def taken(account: Account) -> None:
        (tmp_path / "out" / "_lease" / "00000002.json").write_text("{}")
        for thread in threading.enumerate():
            if thread.name == "craft-ray-lease":
                thread.join(30)

    with pytest.raises(RunError, match="another run has taken over"):
        annotate([f"{tmp_path}/*.jsonl"], str(tmp_path / "out"), Settings(model="stand-in"), taken)
