"""Tiers of tests, and shared fixtures: real inputs, models, an S3 server, a local Ray, the command."""

import fcntl
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

# Waiting OpenMP threads spin, which costs the other test processes their cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Ray keeps this many idle workers, one per core by default. Each start costs two seconds of CPU.
os.environ.setdefault("RAY_num_workers_soft_limit", "8")
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # the default of 30 s is too short on a busy machine

import pytest
from hypothesis import settings

from cluster.local.cluster import RayCluster, kill_saved_nodes
from craft_ray.core.logs import log
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import DeployedModel
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from tests.support.commands import Finished
from tests.support.s3_server import S3Server, running_s3_server

# No deadline, since the first example pays for imports.
settings.register_profile("gate", deadline=None, max_examples=10)
settings.register_profile("long", deadline=None, max_examples=100)

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "craft_ray" / "sample"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tier too: crashes, fuzz, 100 examples")


def pytest_configure(config: pytest.Config) -> None:
    """Make a folder for what all processes of a run of the tests share: converted models and, with xdist, one Ray."""
    settings.load_profile("long" if config.getoption("long") else "gate")
    if "TESTS_FOLDER" not in os.environ:
        folder = tempfile.mkdtemp(prefix="tests-", dir="/tmp")  # short, for Ray's sockets
        os.environ.setdefault("XDG_CACHE_HOME", folder)
        os.environ["TESTS_FOLDER"] = folder
        Path(folder, "token").touch(mode=0o600)
        Path(folder, "token").write_text(secrets.token_hex(32))
        config.add_cleanup(remove_shared)
    if "PYTEST_XDIST_WORKER" in os.environ:  # Ray reads these when it is imported
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": f"{os.environ['TESTS_FOLDER']}/token"}


def remove_shared() -> None:
    folder = Path(os.environ.pop("TESTS_FOLDER"))
    if (folder / "nodes.json").exists():
        kill_saved_nodes(folder / "nodes.json")
    shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="long tier: pytest --long"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real inputs. Skips the test where it is absent."""
    folder = Path(os.environ.get("CRAFT_RAY_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real inputs at {folder}; set CRAFT_RAY_DATA")
    return folder


@pytest.fixture(scope="session")
def craft_iob() -> Checkpoint:
    return load_checkpoint("craft-iob")


@pytest.fixture(scope="session")
def deployed_model(craft_iob: Checkpoint) -> Callable[..., DeployedModel]:
    """`craft-iob` prepared for a precision and an engine, each once."""
    return cache(lambda precision="auto", engine="auto": prepare_model(craft_iob, "cpu", precision, engine))


@pytest.fixture(scope="session")
def model_of(deployed_model: Callable[..., DeployedModel]) -> Callable[..., Model]:
    """The same as models that predict; tests must not change them."""
    return cache(lambda *form: Model(deployed_model(*form)))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two narrow layers with random weights and the tokenizer of `craft-iob`. It finds many mentions."""
    return save_random_bert(tmp_path_factory.mktemp("tiny"), hidden_size=32, layers=2, heads=2, intermediate_size=64)


def save_random_bert(folder: Path, *, hidden_size: int, layers: int, heads: int, intermediate_size: int) -> Path:
    """Save a token-classification BERT whose seeded random weights predict all labels."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForTokenClassification

    from craft_ray.core.labels import TAGS
    from craft_ray.model.loading import SHIPPED

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED["craft-iob"])
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate_size,
        id2label=dict(enumerate(TAGS)),
        label2id={tag: i for i, tag in enumerate(TAGS)},
    )
    model = BertForTokenClassification(config)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.normal_()
        model.classifier.weight.normal_(std=5.6 / hidden_size**0.5)
        model.classifier.bias[0] = 12.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def on_s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An unused prefix on the server, which the environment leads to."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server.fresh_prefix()


@pytest.fixture(scope="module")
def local_ray() -> None:
    """A connection of this process to Ray, which lives until pytest ends."""
    start_ray()


def start_ray() -> None:
    """Start a Ray of two cores; of several test processes the first one starts a larger one for all."""
    import ray  # unit tests need none

    if ray.is_initialized():
        return
    if "PYTEST_XDIST_WORKER" not in os.environ:
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        return
    folder = Path(os.environ["TESTS_FOLDER"])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "address").exists():
            cluster = RayCluster({"RAY_num_workers_soft_limit": "24"}, 0, 4, object_store_mb=500, folder=folder)
            cluster.start()
            cluster.save(folder / "nodes.json")
            (folder / "address").write_text(cluster.address)
    # Not by RAY_ADDRESS, for commands start a Ray of their own.
    ray.init(address=(folder / "address").read_text(), log_to_driver=False)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Restores handlers and level that a command has set."""
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """A function that runs `craft-ray` in this process, on its Ray if there is one."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str | Path) -> Finished:
        from craft_ray.cli.app import main

        monkeypatch.setattr(sys, "argv", ["craft-ray", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        last = out.strip().rpartition("\n")[2]
        return Finished(end.value.code, json.loads(last) if last[:1] in ("{", "[") else None, out, err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
