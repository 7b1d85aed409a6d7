import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from craft_ray.report import charts

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\"><a href='javascript:alert(1)'>",
    "refused \x00\x01\x1b\ufffe\uffff\ud800\u202e\u2028",
]
COLOURS = {"Protein": "#0072b2", "Taxon": "#f0e442"}


def drawn() -> dict[str, str]:
    entities = [{"section": text, "label": "Protein", "entities": 3} for text in HOSTILE]
    return {
        "labels": charts.labels_chart([{"label": text, "entities": 1_234} for text in HOSTILE], dict.fromkeys(HOSTILE)),
        "sections": charts.sections_chart(entities, COLOURS),
        "years": charts.years_chart(
            [{"year": 2020, "documents": 2, "entities": 5}, {"year": 2021, "documents": 1, "entities": 0}]
        ),
        "concepts": charts.concepts_chart(
            [{"concept": text, "label": "Taxon", "year": 2020, "mentions": 2} for text in HOSTILE],
            [2020, 2021],
            COLOURS,
        ),
        "scores": charts.scores_chart([{"label": "Taxon", "score": 0.95, "entities": 2}], COLOURS, 0.05),
        "speed": charts.speed_chart([[at, at, at * 10] for at in (1.0, 2.0, 3.0)]),
        "steps": charts.steps_chart({"timeline": {"ray_ready": 2.0}, "seconds": 9.0}),
    }


def test_hostile_texts_are_inert():
    for name, svg in drawn().items():
        root = etree.fromstring(svg)
        assert (root.get("role"), bool(root.get("aria-label"))) == ("img", True)
        for element in root.iter():
            assert etree.QName(element).localname in {"svg", "g", "path", "rect", "line", "text"}, name
            acting = [key for key in element.attrib if key.lower().startswith(("on", "style", "href", "{"))]
            assert acting == [], name
    assert all(any(text[:8] in (t.text or "") for t in etree.fromstring(drawn()["labels"]).iter()) for text in HOSTILE)


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


def test_charts_fit_a_phone():
    for name, svg in drawn().items():
        width = float(etree.fromstring(svg).get("viewBox").split()[2])
        assert width <= charts.WIDTH + 10, name


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
