"""A cased vocabulary for an uncased encoder."""

import pytest
import torch
from transformers import BertTokenizerFast

from craft_ray.core.errors import SettingsError
from craft_ray.training.casing import SHAPE_RATE, CasedEmbedding, cased_tokenizer, cased_vocabulary, word_shape_of

LETTERS = [prefix + letter for letter in "abcdefghijklmnopqrstuvwxyz6" for prefix in ("", "##")]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*SPECIAL, *LETTERS, "pax", "the", "##ax", "naive", *(f"[unused{i}]" for i in range(100))]
WORDS = ["Pax6", "Pax6", "PAX", "PAX", "the", "The", "The", "naïve", "Naïve", "Naïve"]


@pytest.fixture
def uncased() -> BertTokenizerFast:
    return BertTokenizerFast(vocab={piece: i for i, piece in enumerate(PIECES)}, do_lower_case=True)


def test_cased_pieces_start_from_uncased_ones(uncased):
    words = [*WORDS, "∞"]  # unknown to the base
    vocabulary = cased_vocabulary(uncased, words)
    again = cased_vocabulary(uncased, words)
    assert (vocabulary.pieces, vocabulary.origin.tolist()) == (again.pieces, again.origin.tolist())
    assert len(vocabulary.pieces) <= len(PIECES)
    assert vocabulary.pieces[0] == "[PAD]"
    tokenizer = cased_tokenizer(vocabulary, uncased)
    for word in WORDS:
        pieces, uncased_pieces = tokenizer.tokenize(word), uncased.tokenize(word)
        assert [piece.lower() for piece in pieces] == uncased_pieces
        ids = tokenizer.convert_tokens_to_ids(pieces)
        assert vocabulary.origin[ids].tolist() == uncased.convert_tokens_to_ids(uncased_pieces)
    assert tokenizer.tokenize("Pax6") == ["Pax", "##6"]
    assert tokenizer.tokenize("PAX") == ["PAX"]
    assert tokenizer.tokenize("Zzz6") == ["Z", "##z", "##z", "##6"]  # a new word has no unknown piece


def test_embedding_learns_word_shapes_and_becomes_plain(uncased):
    vocabulary = cased_vocabulary(uncased, ["Pax6", "Pax6"])
    weight = torch.randn(len(PIECES), 8)
    embedding = CasedEmbedding(weight[torch.from_numpy(vocabulary.origin)].clone(), vocabulary.word_shape)
    ids = torch.tensor([[vocabulary.pieces.index("Pax"), vocabulary.pieces.index("pax")]])
    start = embedding(ids)[0]
    assert torch.equal(start[0], start[1])
    assert torch.equal(start[0], weight[PIECES.index("pax")])
    with torch.no_grad():
        embedding.case[word_shape_of("Pax")] = 1.0
    assert torch.allclose(embedding(ids)[0, 0], start[0] + SHAPE_RATE)
    assert torch.equal(embedding(ids)[0, 1], start[1])
    assert torch.equal(embedding.plain()(ids), embedding(ids))


def test_cased_base_is_refused():
    cased = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(PIECES)}, do_lower_case=False)
    with pytest.raises(SettingsError, match="not an uncased WordPiece"):
        cased_vocabulary(cased, ["Pax6"])
