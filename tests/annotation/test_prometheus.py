"""Counters for Prometheus."""

from craft_ray.annotation.prometheus import PrometheusCounters


def test_a_label_in_any_script_is_counted():
    counters = PrometheusCounters()
    counters.show({"craft_ray_entities": {"Protéine": 3, "タンパク質": 1}})
    counters.show({"craft_ray_entities": {"Protéine": 5}})
    assert counters._counted["craft_ray_entities", "Protéine"] == 5
