"""A cluster with store, proxy and inputs for the tests of a file."""

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.chaos.harness import Harness, running_harness


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of all randomness. It fixes the blows and their times; what they hit depends on the machine too."""
    return int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))


@pytest.fixture(scope="module")
def shared_harness(local_ray: None, seed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("chaos") / "work"
    with running_harness(folder, seed, documents=400, rate=2_500) as harness:
        harness.undisturbed()
        yield harness


@pytest.fixture
def harness(shared_harness: Harness) -> Harness:
    shared_harness.begin()
    print(f"CHAOS_SEED={shared_harness.seed}")
    return shared_harness
