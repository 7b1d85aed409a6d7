"""Failures within a run on real processes: documents that kill, models that fail, evidently wrong input."""

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
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.settings import Settings
from craft_ray.tables import lease
from craft_ray.tables.writer import Tables
from tests.conftest import start_ray
from tests.support.outputs import assert_consistent, document_rows

pytestmark = pytest.mark.integration

POISON = "poison"


@contextmanager
def ray_whose_workers(setup: Callable[[], None]) -> Iterator[None]:
    """A local Ray, each worker process of which runs `setup` before anything else; afterwards a plain one again."""
    ray.shutdown()  # that of the tests before
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


def replicas_die_of_poison() -> None:
    """As a document does that crashes the native code of a model."""
    from craft_ray.annotation import replica

    predict_block = replica.predict_block

    def dying(block: pa.Table, model):
        if pc.any(pc.match_substring(block["text"], POISON)).as_py():
            os.kill(os.getpid(), signal.SIGKILL)
        return predict_block(block, model)

    replica.predict_block = dying


def models_fail_on_poison() -> None:
    from craft_ray.annotation import replica

    predict_block = replica.predict_block

    def failing(block: pa.Table, model):
        if pc.any(pc.match_substring(block["text"], POISON)).as_py():
            raise RuntimeError("a tensor of the wrong shape")
        return predict_block(block, model)

    replica.predict_block = failing


def readers_die_of_poison() -> None:
    """As a shard does that crashes the native code of a parser."""
    from craft_ray.annotation import prepare

    read_items = prepare.read_items

    def dying(stream, shard, *more):
        if POISON in shard:
            os.kill(os.getpid(), signal.SIGKILL)
        return read_items(stream, shard, *more)

    prepare.read_items = dying


def write(folder: Path, name: str, texts: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    lines = (json.dumps({"id": doc_id, "text": text}) for doc_id, text in texts.items())
    (folder / name).write_text("\n".join(lines))


GOOD = {f"good{number}": f"Mouse {number} has Pax6 in its eye." for number in range(60)}


def outcomes(output: Path) -> dict[str, tuple[str, str | None]]:
    return {row["doc_id"]: (row["status"], row["reason"]) for row in document_rows(output)}


@pytest.mark.parametrize("setup", [pytest.param(replicas_die_of_poison, marks=pytest.mark.long), models_fail_on_poison])
def test_a_document_that_the_model_cannot_stand_is_rejected_alone(setup, tmp_path: Path):
    texts = dict(list(GOOD.items())[:30]) | {"bad": f"This is {POISON}."} | dict(list(GOOD.items())[30:])
    write(tmp_path / "in", "a.jsonl", texts)
    write(tmp_path / "in", "b.jsonl", {"other": "Yeast grows."})
    with ray_whose_workers(setup):
        summary = craft_ray.annotate(str(tmp_path / "in"), str(tmp_path / "out"), model="stand-in")
    assert summary["adds_up"]
    assert outcomes(tmp_path / "out") == dict.fromkeys([*GOOD, "other"], ("annotated", None)) | {
        "bad": ("rejected", "failed")
    }
    assert_consistent(tmp_path / "out")

    craft_ray.annotate(str(tmp_path / "in"), str(tmp_path / "out"), model="stand-in")
    assert outcomes(tmp_path / "out")["bad"] == ("annotated", None)


@pytest.mark.long
def test_a_shard_that_the_reader_cannot_stand_is_rejected_alone(tmp_path: Path):
    write(tmp_path / "in", "a.jsonl", GOOD)
    write(tmp_path / "in", f"{POISON}.jsonl", {"bad": "Yeast grows."})
    with ray_whose_workers(readers_die_of_poison):
        summary = craft_ray.annotate(str(tmp_path / "in"), str(tmp_path / "out"), model="stand-in")
    assert summary["adds_up"]
    unreadable = f"in/{POISON}.jsonl#unreadable"
    assert outcomes(tmp_path / "out") == dict.fromkeys(GOOD, ("annotated", None)) | {unreadable: ("rejected", "failed")}
    assert_consistent(tmp_path / "out")


def test_input_that_is_evidently_wrong_stops_the_run(local_ray: None, tmp_path: Path):
    write(tmp_path, "good.jsonl", GOOD)
    (tmp_path / "bad.jsonl").write_text('{"id": "first", "text": "A mouse."}\n' + "{broken\n" * 140)
    options = {"model": "stand-in"}
    with pytest.raises(
        RunError, match=r"140 of 201 documents were rejected \(bad_json 140\), more than max_rejected 0.6"
    ):
        craft_ray.annotate(f"{tmp_path}/*.jsonl", str(tmp_path / "out"), max_rejected=0.6, **options)
    assert assert_consistent_counts(tmp_path / "out") == {"annotated": 61, "rejected": 140}
    craft_ray.annotate(f"{tmp_path}/*.jsonl", str(tmp_path / "lenient"), max_rejected=0.8, **options)
    assert assert_consistent(tmp_path / "lenient") == {"annotated": 61, "rejected": 140}


def assert_consistent_counts(output: Path) -> dict[str, int]:
    rows = document_rows(output)
    return {status: sum(row["status"] == status for row in rows) for status in ("annotated", "rejected")}


def test_another_model_than_the_one_required_is_a_bad_setting(local_ray: None, tmp_path: Path):
    write(tmp_path, "good.jsonl", GOOD)
    summary = craft_ray.annotate(f"{tmp_path}/*.jsonl", str(tmp_path / "out"), model="stand-in")
    fingerprint = summary["model"]["fingerprint"]
    again = craft_ray.annotate(f"{tmp_path}/*.jsonl", str(tmp_path / "out"), model="stand-in", model_sha256=fingerprint)
    assert again["documents"]["unchanged"] == 60
    with pytest.raises(SettingsError, match=f"has the fingerprint {fingerprint}"):
        craft_ray.annotate(f"{tmp_path}/*.jsonl", str(tmp_path / "no"), model="stand-in", model_sha256="0" * 64)
    assert not (tmp_path / "no" / "documents").exists()


@pytest.mark.parametrize(
    ("owner", "step", "told"),
    [
        (Account, "wrote", "the account does not add up"),
        (Tables, "append", "the documents table holds 0 rows where the account has 2"),
        (Commits, "add", r"1 shards are not finished, as .*good.jsonl"),
    ],
)
def test_a_run_on_whose_way_documents_get_lost_fails(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, step: str, told: str
):
    write(tmp_path, "good.jsonl", {"a": "A mouse.", "b": "A rat."})
    monkeypatch.setattr(owner, step, lambda *_: None)
    with pytest.raises(RunError, match=told):
        craft_ray.annotate(f"{tmp_path}/*.jsonl", str(tmp_path / "out"), model="stand-in")


def test_a_run_stops_when_its_heart_finds_that_another_has_taken_the_lease(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, "good.jsonl", GOOD)
    monkeypatch.setattr(lease, "BEAT", 0.05)

    def taken(account: Account) -> None:
        (tmp_path / "out" / "_lease" / "00000002.json").write_text("{}")
        for thread in threading.enumerate():
            if thread.name == "craft-ray-lease":
                thread.join(30)

    with pytest.raises(RunError, match="another run has taken over"):
        annotate([f"{tmp_path}/*.jsonl"], str(tmp_path / "out"), Settings(model="stand-in"), taken)
