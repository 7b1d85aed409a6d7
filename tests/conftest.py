"""Fixtures that tests share: real inputs where they are at hand, a small random checkpoint, a real S3 server."""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

# Processes of tests share the cores: threads of OpenMP that wait for each other in busy loops would take most of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Idle workers that Ray keeps for the next test; one per core otherwise, and each start costs two seconds of CPU.
os.environ.setdefault("RAY_num_workers_soft_limit", "8")
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # 30 otherwise, which a busy machine exceeds

import pytest
from hypothesis import settings

from craft_ray.core.logs import log
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.inference import DeployedModel, Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from tests.support.commands import Finished
from tests.support.s3_server import S3Server, running_s3_server

# The first call of a test pays for imports, so there is no deadline.
settings.register_profile("short", deadline=None, max_examples=40)
settings.register_profile("long", deadline=None)

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "craft_ray" / "sample"


def pytest_configure(config: pytest.Config) -> None:
    """Properties are tried on 40 examples each, on 100 with --long.

    Converted models are kept for one run of the tests, by all its processes, and not in the user's own cache.
    """
    settings.load_profile("long" if config.getoption("long") else "short")
    if "XDG_CACHE_HOME" not in os.environ:
        folder = tempfile.mkdtemp(prefix="craft-ray-tests-")
        os.environ["XDG_CACHE_HOME"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tests in their full form")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `long` before any of its fixtures is made."""
    if not config.getoption("long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes half a minute or more: pytest --long"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real inputs; tests that need it are skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("CRAFT_RAY_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real inputs at {folder}; set CRAFT_RAY_DATA")
    return folder


@pytest.fixture(scope="session")
def craft_iob() -> Checkpoint:
    return load_checkpoint("craft-iob")


@pytest.fixture(scope="session")
def form_of(craft_iob: Checkpoint) -> Callable[..., DeployedModel]:
    """Forms of `craft-iob` by precision and engine; each takes seconds, and is made once."""
    return cache(lambda precision="auto", engine="auto": prepare_model(craft_iob, "cpu", precision, engine))


@pytest.fixture(scope="session")
def model_of(form_of: Callable[..., DeployedModel]) -> Callable[..., Model]:
    """The same at work on one core; for tests that leave it as it is."""
    return cache(lambda *form: Model(form_of(*form)))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two narrow layers with seeded random weights and the tokenizer of `craft-iob`: it finds much."""
    return save_random_bert(tmp_path_factory.mktemp("tiny"), hidden_size=32, layers=2, heads=2, intermediate_size=64)


def save_random_bert(folder: Path, *, hidden_size: int, layers: int, heads: int, intermediate_size: int) -> Path:
    """Save a token-classification BERT of a given shape, whose weights are set so that all labels occur."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForTokenClassification

    from craft_ray.core.labels import TAGS
    from craft_ray.model.shipped import SHIPPED

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
    """A SeaweedFS server on a free loopback port, with one bucket."""
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def local_ray() -> None:
    """A Ray of two cores for runs in this process; modules that follow each other share it, and it ends with pytest."""
    start_ray()


def start_ray() -> None:
    """Start a Ray of two cores in this process, if there is none."""
    import ray  # only here: unit tests need none

    if not ray.is_initialized():
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Handlers and levels that a command sets are not those of the tests after it."""
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """The command in this process, on the Ray that it has."""
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
