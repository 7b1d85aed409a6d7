"""The timeline of a run."""

from craft_ray.annotation.timeline import MAX_POINTS, Timeline


def test_the_steady_rate_leaves_out_start_and_end():
    timeline = Timeline(started=100.0)
    assert timeline.steady_rate is None
    timeline.commits = [(110.0, 1, 1000)]
    assert timeline.steady_rate is None
    timeline.commits += [(114.0, 2, 1400)]
    assert timeline.steady_rate == 100
    timeline.commits += [(120.0, 3, 1600)]
    assert timeline.steady_rate == 60


def test_commits_are_cumulative():
    now = [10.0]
    timeline = Timeline(started=10.0, clock=lambda: now[0])
    for documents in (1, 2, 4):
        now[0] += 2
        timeline.committed(documents, 10 * documents)
    assert timeline.progress() == [[2, 1, 10], [4, 3, 30], [6, 7, 70]]
    assert (timeline.steps, timeline.seconds) == ({"first_commit": 2}, 6)


def test_progress_of_a_long_run_is_thinned_out():
    timeline = Timeline()
    for _ in range(10 * MAX_POINTS):
        timeline.committed(1, 1)
    assert [row[1] for row in timeline.progress()] == list(range(10, 10 * MAX_POINTS + 1, 10))
