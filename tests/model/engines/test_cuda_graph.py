"""Captured networks, with a recorder on the CPU that behaves as a CUDA graph."""

import logging

import pytest
import torch

from craft_ray.model.engines.cuda_graph import CapturedNetwork
from craft_ray.model.engines.network import Output, best_labels


def network(scores: torch.Tensor) -> Output:
    return best_labels(scores * 2, 1)


class Recorder:
    """Replays into the tensors of the captured predictions."""

    def __init__(self) -> None:
        self.shapes = []

    def __call__(self, network, inputs):
        self.shapes.append([tuple(tensor.shape) for tensor in inputs])
        predictions = network(*inputs)

        def replay() -> None:
            for target, new in zip(predictions, network(*inputs), strict=True):
                target.copy_(new)

        return replay, predictions


def test_each_batch_gets_its_own_predictions():
    recorder = Recorder()
    captured = CapturedNetwork(network, recorder, "cpu")
    for seed in range(3):
        scores = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))
        for found, expected in zip(captured(scores), network(scores), strict=True):
            assert torch.equal(found, expected)
    assert recorder.shapes == [[(8, 5)]]


def test_another_shape_is_captured_again():
    recorder = Recorder()
    captured = CapturedNetwork(network, recorder, "cpu")
    for rows in (8, 4, 4):
        assert torch.equal(captured(torch.eye(rows)).label[:, 0], torch.arange(rows, dtype=torch.int8))
    assert recorder.shapes == [[(8, 8)], [(4, 4)]]


def test_network_that_cannot_be_captured(caplog: pytest.LogCaptureFixture):
    def refuse(network, inputs):
        raise RuntimeError("operation not permitted when stream is capturing")

    captured = CapturedNetwork(network, refuse, "cpu")
    with caplog.at_level(logging.WARNING, "craft_ray"):
        for _ in range(2):
            assert torch.equal(captured(torch.eye(8)).label[:, 0], torch.arange(8, dtype=torch.int8))
    assert [record.getMessage() for record in caplog.records] == [
        "the model runs without a CUDA graph, which could not be captured: "
        "operation not permitted when stream is capturing"
    ]


def test_capture_is_tried_again_after_out_of_memory():
    recorder = Recorder()
    full = iter([True, False])

    def capture(network, inputs):
        if next(full):
            raise RuntimeError("std::bad_alloc")
        return recorder(network, inputs)

    captured = CapturedNetwork(network, capture, "cpu")
    with pytest.raises(RuntimeError):
        captured(torch.eye(8))
    assert torch.equal(captured(torch.eye(4)).label[:, 0], torch.arange(4, dtype=torch.int8))
