"""A cased vocabulary over an uncased encoder's embeddings."""

import numpy as np
import pytest
import torch
from transformers import BertTokenizerFast

from craft_ray.core.errors import SettingsError
from craft_ray.training.casing import STRIDE, CasedEmbedding, cased_tokenizer, cased_vocabulary, word_shape_of

LETTERS = [prefix + letter for letter in "abcdefghijklmnopqrstuvwxyz6" for prefix in ("", "##")]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*SPECIAL, *LETTERS, "pax", "the", "##ax", "naive", *(f"[unused{i}]" for i in range(100))]


@pytest.fixture
def uncased() -> BertTokenizerFast:
    return BertTokenizerFast(vocab={piece: i for i, piece in enumerate(PIECES)}, do_lower_case=True)


def test_words_keep_their_pieces_but_for_case(uncased):
    words = ["Pax6", "Pax6", "PAX", "PAX", "the", "The", "The", "naïve", "Naïve", "Naïve"]
    vocabulary = cased_vocabulary(uncased, words)
    tokenizer = cased_tokenizer(vocabulary, uncased)
    assert len(vocabulary.pieces) <= len(PIECES)
    assert vocabulary.pieces[0] == "[PAD]"
    for word in words:
        theirs = uncased.tokenize(word)
        ours = tokenizer.tokenize(word)
        assert [piece.lower() for piece in ours] == theirs
        ids = tokenizer.convert_tokens_to_ids(ours)
        assert vocabulary.origin[ids].tolist() == uncased.convert_tokens_to_ids(theirs)
    assert tokenizer.tokenize("Pax6") == ["Pax", "##6"]
    assert tokenizer.tokenize("PAX") == ["PAX"]
    assert tokenizer.tokenize("Zzz6") == ["Z", "##z", "##z", "##6"]  # never seen, and still no unknown piece


def test_an_embedding_starts_as_the_uncased_one_and_folds_into_a_common_one(uncased):
    vocabulary = cased_vocabulary(uncased, ["Pax6", "Pax6"])
    weight = torch.randn(len(PIECES), 8)
    embedding = CasedEmbedding(weight[torch.from_numpy(vocabulary.origin)].clone(), vocabulary.word_shape)
    ids = torch.tensor([[vocabulary.pieces.index("Pax"), vocabulary.pieces.index("pax")]])
    start = embedding(ids)[0]
    assert torch.equal(start[0], start[1])
    assert torch.equal(start[0], weight[PIECES.index("pax")])
    with torch.no_grad():
        embedding.case[word_shape_of("Pax")] = 1.0
    assert torch.allclose(embedding(ids)[0, 0], start[0] + STRIDE)
    assert torch.equal(embedding(ids)[0, 1], start[1])
    assert torch.equal(embedding.folded()[ids], embedding(ids))


def test_case_can_only_be_given_to_an_uncased_base(uncased):
    cased = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(PIECES)}, do_lower_case=False)
    with pytest.raises(SettingsError, match="not an uncased WordPiece"):
        cased_vocabulary(cased, ["Pax6"])


def test_the_same_words_give_the_same_vocabulary(uncased):
    words = ["Pax6", "Pax6", "PAX", "PAX", "The", "the", "Shh"]
    first, second = cased_vocabulary(uncased, words), cased_vocabulary(uncased, words)
    assert first.pieces == second.pieces
    assert np.array_equal(first.origin, second.origin)
