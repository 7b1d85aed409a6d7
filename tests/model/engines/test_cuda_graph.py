"""Networks that are recorded once and replayed: the recorder here keeps to what a CUDA graph does, on a CPU."""

import logging

import pytest
import torch

from craft_ray.model.engines.cuda_graph import CapturedNetwork
from craft_ray.model.engines.network import Predictions, best_labels


def network(scores: torch.Tensor) -> Predictions:
    return best_labels(scores * 2)


class Recorder:
    """Replays into the very tensors that the recorded answers lie in."""

    def __init__(self) -> None:
        self.shapes = []

    def __call__(self, of, inputs):
        self.shapes.append([tuple(tensor.shape) for tensor in inputs])
        answers = of(*inputs)

        def replay() -> None:
            for place, new in zip(answers, of(*inputs), strict=True):
                place.copy_(new)

        return replay, answers


def test_a_recorded_network_answers_each_batch():
    recorder = Recorder()
    one_shape = CapturedNetwork(network, recorder, "cpu")
    for seed in range(3):
        scores = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))
        for found, expected in zip(one_shape(scores), network(scores), strict=True):
            assert torch.equal(found, expected)
    assert recorder.shapes == [[(8, 5)]]


def test_another_shape_is_recorded_anew():
    recorder = Recorder()
    one_shape = CapturedNetwork(network, recorder, "cpu")
    for rows in (8, 4, 4):
        assert torch.equal(one_shape(torch.eye(rows)).label, torch.arange(rows, dtype=torch.int8))
    assert recorder.shapes == [[(8, 8)], [(4, 4)]]


def test_what_cannot_be_recorded_is_called(caplog: pytest.LogCaptureFixture):
    def refuse(of, inputs):
        raise RuntimeError("operation not permitted when stream is capturing")

    one_shape = CapturedNetwork(network, refuse, "cpu")
    with caplog.at_level(logging.WARNING, "craft_ray"):
        for rows in (8, 8):
            assert torch.equal(one_shape(torch.eye(rows)).label, torch.arange(rows, dtype=torch.int8))
    assert [record.getMessage() for record in caplog.records] == [
        "the model runs without a CUDA graph, which could not be captured: "
        "operation not permitted when stream is capturing"
    ]


def test_a_recording_that_does_not_fit_is_tried_again_with_the_next_batch():
    fits = Recorder()
    full = iter([True, False])

    def record(of, inputs):
        if next(full):
            raise RuntimeError("std::bad_alloc")
        return fits(of, inputs)

    one_shape = CapturedNetwork(network, record, "cpu")
    with pytest.raises(RuntimeError):
        one_shape(torch.eye(8))
    assert torch.equal(one_shape(torch.eye(4)).label, torch.arange(4, dtype=torch.int8))
