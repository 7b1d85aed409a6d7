"""Documents to columns of tokens."""

import pytest

from craft_ray.core.schema import Document, Section
from craft_ray.model import tokens
from craft_ray.model.tokens import tokenize
from craft_ray.model.windows import Windower
from tests.support.models import TOKENIZER


@pytest.mark.parametrize("window_pieces", [0, 64])
def test_a_long_document_is_tokenized_in_parts_with_the_same_result(monkeypatch, window_pieces):
    document = Document("a", "Pax6 acts in mice. " * 200, (Section("s", 0, 19 * 200),))
    whole = tokenize([document, document], Windower(TOKENIZER, 510, window_pieces))
    monkeypatch.setattr(tokens, "MAX_CHARACTERS", 500)
    parts = tokenize([document, document], Windower(TOKENIZER, 510, window_pieces))
    assert {name: values.to_pylist() for name, values in parts.items()} == {
        name: values.to_pylist() for name, values in whole.items()
    }
