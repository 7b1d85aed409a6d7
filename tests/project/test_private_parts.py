"""Undocumented parts of dependencies that the code uses. Each test says what breaks without them."""

import inspect
import io
import tarfile
import warnings

import pytest
import ray.data
from ray._private import ray_constants
from ray.data._internal.execution.execution_callback import ExecutionCallback

from craft_ray.annotation.pipeline import _Halting


def test_ray_stays_on_loopback():
    """core/connection.py: a new local Ray would listen on all interfaces."""
    assert isinstance(ray_constants.ENABLE_RAY_CLUSTER, bool)


def test_a_pipeline_can_be_stopped():
    """annotation/pipeline.py: a signal would wait for the end of the pass."""
    for name in ("before_execution_starts", "on_execution_step"):
        assert list(inspect.signature(getattr(ExecutionCallback, name)).parameters) == ["self", "executor"]
        assert getattr(_Halting, name) is not getattr(ExecutionCallback, name)
    assert ray.data.DataContext().custom_execution_callback_classes == []


def test_replicas_get_whole_blocks():
    """annotation/pipeline.py: blocks would be cut into batches, and GPUs would wait for them."""
    of_batches, of_blocks = ray.data.Dataset.map_batches, ray.data.Dataset.map_batches_internal
    used = {"fn_constructor_kwargs", "batch_size", "batch_format", "zero_copy_batch", "compute", "num_cpus", "num_gpus"}
    assert used <= inspect.signature(of_blocks).parameters.keys() <= inspect.signature(of_batches).parameters.keys()


def test_options_of_ray_data():
    """annotation/pipeline.py: a dead process would end the run, and Ray Data would poll memory and print advice."""
    context = ray.data.DataContext()
    for name in ("max_errored_blocks", "memory_usage_poll_interval_s", "enable_progress_bars"):
        assert hasattr(context, name)
    assert context.issue_detectors_config.detectors


def test_warnings_of_ray_data_come_from_known_modules():
    """annotation/pipeline.py: every run would print two warnings of Ray Data."""
    operator = pytest.importorskip("ray.data._internal.execution.operators.actor_pool_map_operator")
    assert "The minimum number of concurrent actors" in inspect.getsource(operator)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ray.data.dataset._warn_on_ray_remote_args({"max_retries": 2})
    assert [warning.filename for warning in caught] == [__file__]


def test_a_tar_archive_forgets_its_members():
    """readers/archives.py: memory would grow with the members of an archive."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in "abc":
            archive.addfile(tarfile.TarInfo(name))
    content.seek(0)
    with tarfile.open(fileobj=content, mode="r|") as archive:
        names = []
        while (member := archive.next()) is not None:
            names.append(member.name)
            assert len(archive.members) == 1
            archive.members.clear()
    assert names == ["a", "b", "c"]
