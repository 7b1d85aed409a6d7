"""Weights between training and checkpoint."""

import numpy as np

from craft_ray.core.labels import TAGS
from craft_ray.training.train import with_outside_bias


def test_a_higher_bias_of_the_tag_outside_leaves_all_else_as_it_was():
    weights = {"classifier.bias": np.arange(13, dtype=np.float32), "other": np.ones(3)}
    shifted = with_outside_bias(weights, 0.75)
    moved = shifted["classifier.bias"] - weights["classifier.bias"]
    assert {tag: float(by) for tag, by in zip(TAGS, moved, strict=True) if by} == {"O": 0.75}
    assert shifted["other"] is weights["other"]
    assert weights["classifier.bias"][0] == 0
