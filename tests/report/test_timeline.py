import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.report.timeline import LAST_STEP, speeds, steps

progress = st.lists(st.tuples(st.floats(0.01, 50), st.integers(0, 90), st.integers(0, 900)), max_size=150).map(
    lambda rises: [[sum(rise[column] for rise in rises[: n + 1]) for column in range(3)] for n in range(len(rises))]
)


@given(progress=progress)
def test_speeds_add_up(progress):
    found = speeds(progress, bars=20)
    assert len(found) <= 20
    done = progress[-1] if progress else [0, 0, 0]
    assert sum((bar["until"] - bar["from"]) * bar["speed"] for bar in found) == pytest.approx(done[2])
    assert sum((bar["until"] - bar["from"]) * bar["documents"] for bar in found) == pytest.approx(done[1])
    ends = [0.0, *(bar["until"] for bar in found)]
    assert [bar["from"] for bar in found] == ends[:-1]
    assert ends[-1] == pytest.approx(done[0])


def test_steps():
    timeline = {"ray_ready": 2.0, "first_commit": 5.0, "last_commit": 9.0}
    found = steps({"timeline": timeline, "seconds": 10.0})
    assert [(step["from"], step["until"]) for step in found] == [(0, 2), (2, 5), (5, 9), (9, 10)]
    assert found[-1]["step"] == LAST_STEP
    assert steps({}) == []
