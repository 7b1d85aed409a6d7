import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from craft_ray.report import charts

COLOURS = {"Protein": "#0072b2", "Taxon": "#f0e442"}


def test_lengths_and_colours_of_bars():
    svg = charts.sections_chart(
        [{"section": "a", "label": "Protein", "entities": 30}, {"section": "a", "label": "Taxon", "entities": 10}],
        COLOURS,
    )
    bars = {
        p.get("fill"): p.get("d") for p in etree.fromstring(svg).iter("{*}path") if p.get("fill") in COLOURS.values()
    }
    length = {colour: float(path.partition("h")[2].partition("v")[0]) for colour, path in bars.items()}
    assert round(length[COLOURS["Protein"]] / length[COLOURS["Taxon"]], 2) == 3.0


def test_no_rows():
    assert charts.years_chart([]) == charts.speed_chart([]) == charts.labels_chart([], {}) == ""


progress = st.lists(st.tuples(st.floats(0.01, 50), st.integers(0, 90), st.integers(0, 900)), max_size=150).map(
    lambda rises: [[sum(rise[column] for rise in rises[: n + 1]) for column in range(3)] for n in range(len(rises))]
)


@given(progress=progress)
def test_speeds_add_up(progress):
    found = charts.speeds(progress, bars=20)
    assert len(found) <= 20
    done = progress[-1] if progress else [0, 0, 0]
    assert sum((bar["until"] - bar["from"]) * bar["speed"] for bar in found) == pytest.approx(done[2])
    ends = [0.0, *(bar["until"] for bar in found)]
    assert [bar["from"] for bar in found] == ends[:-1]
    assert ends[-1] == pytest.approx(done[0])


def test_steps():
    timeline = {"ray_ready": 2.0, "first_commit": 5.0, "last_commit": 9.0}
    found = charts.steps(timeline, 10.0)
    assert [(step["from"], step["until"]) for step in found] == [(0, 2), (2, 5), (5, 9), (9, 10)]
    assert found[-1]["step"] == charts.LAST_STEP
    assert charts.steps({}, 0) == []


def test_characters_that_xml_excludes_are_replaced():
    svg = charts.sections_chart([{"section": "a\x00\ufffe\uffff\ud800b", "label": "Protein", "entities": 3}], COLOURS)
    assert "a\N{REPLACEMENT CHARACTER}" in "".join(etree.fromstring(svg).itertext())
