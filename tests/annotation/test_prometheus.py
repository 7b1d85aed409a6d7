"""Metrics for Prometheus."""

from craft_ray.annotation.prometheus import BusyTime, PrometheusCounters


def test_labels_in_any_script_are_counted():
    counters = PrometheusCounters()
    counters.show({"craft_ray_entities": {"Protéine": 3, "タンパク質": 1}})
    counters.show({"craft_ray_entities": {"Protéine": 5}})
    assert counters._counted["craft_ray_entities", "Protéine"] == 5


def test_busy_time_of_two_threads():
    times = iter([0.0, 4.0, 4.0, 10.0, 10.0, 20.0, 21.0, 21.0])
    busy = BusyTime(lambda: next(times))
    busy.begin()
    busy.begin()
    seconds = [busy.end(), busy.end()]
    busy.begin()
    assert [*seconds, busy.end()] == [4.0, 6.0, 1.0]
