"""The protocol of commits, explored by a machine: several drivers on one output, whose clocks differ, and each of which
may stand still before any of its writes while others go on, wake up later, or never.
"""

import random
import shutil
import tempfile
from collections import Counter
from functools import cache

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from craft_ray.core.errors import OutputBusyError
from craft_ray.model.inference import Model, prepare_model
from craft_ray.storage.addresses import join
from craft_ray.tables.delta import TakenOverError
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.output import open_output, tables_exist
from craft_ray.tables.writer import Tables
from tests.annotation.test_order import CHECKPOINT, TEXTS, annotate_into, pubmed
from tests.support.drivers import Driver, stepwise
from tests.support.outputs import STORAGE, assert_consistent

Content = dict[int, tuple[int, str] | None]
"""Of a shard: version and title by PMID, None for a deletion."""

contents = st.dictionaries(
    st.integers(1, 3), st.one_of(st.tuples(st.integers(1, 2), st.sampled_from(TEXTS)), st.none()), min_size=1
)
stands = st.sampled_from(
    [f"commit {name}" for name in ("documents", "shards", "entities")]
    + ["publishing", "vacuum documents", "remove_files", "look", "end"]
)
"""Steps before which a driver stands. Between the halves of a pair, the next commit is one of documents."""

times = st.integers(1, 4)
skews = st.sampled_from([-86_400.0, -120.0, 0.0, 120.0])

names = st.sampled_from([f"n{number}.xml" for number in range(6)])


@cache
def model() -> Model:
    return Model(prepare_model(CHECKPOINT, "cpu"))


def night(driver: Driver, output: str, inputs: dict[str, Content], compact: bool) -> None:
    """A run over the shards that are not finished."""
    with hold_lease(STORAGE, output, driver.wait) as lease:
        tables = Tables(STORAGE, output, lease.run_id)
        finished = tables.finished_shards()["shard"].to_pylist()
        shards = {name: pubmed(content) for name, content in inputs.items() if name not in finished}
        if shards:
            annotate_into(tables, model(), shards, random.Random(0), compact=compact)
        else:
            tables.finish(compact)


class Protocol(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="craft-ray-protocol-")
        self.output = join(self.folder, "out")
        self.inputs: dict[str, Content] = {}
        self.drivers: list[Driver] = []
        self.patched = stepwise()
        self.patched.__enter__()

    @initialize(name=names, content=contents)
    def first_shard(self, name: str, content: Content) -> None:
        self.inputs[name] = content

    @precondition(lambda self: len(self.inputs) < 4)
    @rule(name=names, content=contents)
    def another_shard(self, name: str, content: Content) -> None:
        """Its name may sort before those that are finished."""
        self.inputs.setdefault(name, content)

    @precondition(lambda self: len(self.drivers) < 3)
    @rule(skew=skews, compact=st.booleans(), before=stands, times=times, dies=st.booleans())
    def start(self, skew: float, compact: bool, before: str, times: int, dies: bool) -> None:
        """Start a driver, which is suspended or killed when it has stood before such a step so many times."""
        inputs, output = dict(self.inputs), self.output
        driver = Driver(f"host{len(self.drivers)}", skew, lambda driver: night(driver, output, inputs, compact))
        self.drivers.append(driver)
        self._advance(driver, before, times, dies)

    @precondition(lambda self: self.drivers)
    @rule(which=st.integers(0, 2), before=stands, times=times, dies=st.booleans())
    def wake_up(self, which: int, before: str, times: int, dies: bool) -> None:
        self._advance(self.drivers[which % len(self.drivers)], before, times, dies)

    def _advance(self, driver: Driver, before: str, times: int, dies: bool) -> None:
        for _ in range(times):
            while driver.step() != before and driver.alive:
                pass
        if dies:
            driver.kill()
        self._let_go(driver)
        self.check()

    def _let_go(self, driver: Driver) -> None:
        if not driver.alive:
            self.drivers.remove(driver)
            if not isinstance(driver.error, TakenOverError | OutputBusyError | None):
                raise driver.error

    def check(self) -> None:
        """What every reader may rely on at any time."""
        if not tables_exist(STORAGE, self.output):
            return
        output = open_output(STORAGE, self.output)
        finished = output.shards.dataset.to_table(["shard"])["shard"].to_pylist()
        documents = output.documents.dataset.to_table(["doc_id", "n_entities"]).to_pydict()
        entities = Counter(output.entities.dataset.to_table(["doc_id"])["doc_id"].to_pylist())
        assert len(set(documents["doc_id"])) == len(documents["doc_id"]), "a document is there twice"
        assert entities == Counter(dict(zip(*documents.values(), strict=True))), "the tables differ"
        promised = {f"PMID:{pmid}" for name in finished for pmid in self.inputs[name]}
        assert promised <= set(documents["doc_id"]), "a document of a finished shard is gone"

    def _expected(self) -> dict[str, tuple[str, str | None]]:
        """Status and title of each document: a deletion is final, else the highest version of the last shard counts."""
        given: dict[int, list[tuple[int, str] | None]] = {}
        for name in sorted(self.inputs):
            for pmid, document in self.inputs[name].items():
                given.setdefault(pmid, []).append(document)
        return {
            f"PMID:{pmid}": ("deleted", None)
            if None in documents
            else ("annotated", max(enumerate(documents), key=lambda each: (each[1][0], each[0]))[1][1])
            for pmid, documents in given.items()
        }

    def teardown(self) -> None:
        try:
            for driver in self.drivers:
                driver.kill()
            last = Driver("last", 0.0, lambda driver: night(driver, self.output, self.inputs, True))
            while last.alive:
                last.step()
            if last.error is not None:
                raise last.error
            rows = (
                open_output(STORAGE, self.output).documents.dataset.to_table(["doc_id", "status", "title"]).to_pylist()
            )
            assert {row["doc_id"]: (row["status"], row["title"]) for row in rows} == self._expected()
            assert_consistent(self.output)
        finally:
            self.patched.__exit__(None, None, None)
            shutil.rmtree(self.folder)


def test_no_order_of_steps_breaks_a_promise(request: pytest.FixtureRequest):
    examples = 300 if request.config.getoption("long") else 6
    run_state_machine_as_test(Protocol, settings=settings(max_examples=examples, stateful_step_count=10, deadline=None))
