import re

from hypothesis import given
from hypothesis import strategies as st

from craft_ray.readers.text_builder import normalize_space


@given(st.text(st.sampled_from("ab \t\r\n\u00a0\u2009")))
def test_normalize_space(text: str):
    assert normalize_space(text) == re.sub("[ \t\r\n]+", " ", text).strip(" ")
