import pytest

from craft_ray.concepts.context import definitions


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [
        ("Loss of retinal ganglion cells (RGCs) was seen.", "RGC", "retinal ganglion cell"),
        ("mice given doxycycline (dox) in water", "dox", "doxycycline"),
        ("the heat shock transcription factor (HSF) binds", "HSF", "heat shock transcription factor"),
        ("an RGC (retinal ganglion cell) dies", "RGC", "retinal ganglion cell"),
        ("tumor necrosis factor-α (TNF-α), and", "TNF-α", "tumor necrosis factor-α"),
    ],
)
def test_definitions(text: str, short: str, long: str):
    assert definitions(text)[short] == long


@pytest.mark.parametrize("text", ["as seen (Figure 1)", "in yeast (see below)", "RGC (RGC)", "a (b"])
def test_other_parentheses(text: str):
    assert definitions(text) == {}


def test_definition_does_not_cross_sentences():
    assert "RGC" not in definitions("Retinal tissue. Granules and cones (RGC)")
