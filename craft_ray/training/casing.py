"""Add case to an uncased encoder: a cased vocabulary on top of the uncased embeddings.

Names of genes and proteins differ from words by their case (Pax6, SHH, Cat), which an uncased encoder never sees. Each
cased piece starts with the embedding of its lower-case form, so the encoder starts out unchanged. The meaning of upper
case is learned as one vector per word shape, shared by all pieces, and added into the embeddings at the end. The result
is an ordinary BERT with a cased WordPiece vocabulary of the same size.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from unicodedata import category, normalize

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from craft_ray.core.errors import SettingsError

BATCH = 5000
"""Words that are tokenized in one call."""

SHAPE_RATE = 5.0
"""How much faster than other weights the vectors of word shapes are learned: all of them start at zero."""

WORD_SHAPES = 5


@dataclass(frozen=True, slots=True)
class CasedVocabulary:
    """Word pieces in the order of their ids.

    origin:     (pieces,) id of the uncased piece whose embedding each starts with
    word_shape: (pieces,) see `word_shape_of`
    """

    pieces: tuple[str, ...]
    origin: NDArray[np.int64]
    word_shape: NDArray[np.int64]


def word_shape_of(piece: str) -> int:
    """0 lower case or no letters, 1 a single capital, 2 Capitalized, 3 ALL CAPITALS, 4 miXed.

    >>> [word_shape_of(piece) for piece in ("cat", "A", "##Cat", "DNA", "mRNA", "6")]
    [0, 1, 2, 3, 4, 0]
    """
    text = piece.removeprefix("##")
    if text == text.lower():
        return 0
    if len(text) == 1:
        return 1
    if text == text.upper():
        return 3
    return 2 if text[1:] == text[1:].lower() else 4


def cased_vocabulary(tokenizer: Any, words: Iterable[str]) -> CasedVocabulary:
    """Make a cased vocabulary of the uncased one's size for the words of some corpora.

    It is filled, as long as there is room, with: special pieces, all single characters in both cases, pieces that
    occur, the uncased vocabulary's continuations, cased forms that occur twice, capitalized forms of pieces that occur.

    Raises SettingsError if the tokenizer is not an uncased WordPiece.
    """
    # Sorted by id: `get_vocab` returns another order in each process.
    vocabulary: dict[str, int] = dict(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))
    if not getattr(tokenizer, "do_lower_case", False) or not any(piece.startswith("##") for piece in vocabulary):
        raise SettingsError("the base model's tokenizer is not an uncased WordPiece, to which case could be added")
    lower, cased = _count_pieces(tokenizer, words)
    special = [piece for piece in tokenizer.all_special_tokens if piece in vocabulary]
    # Special pieces come first, by id, so that the padding piece keeps BERT's id 0.
    chosen = dict.fromkeys(sorted(special, key=vocabulary.__getitem__))
    for piece in vocabulary:
        text = piece.removeprefix("##")
        if len(text) == 1:
            chosen.setdefault(piece)
            if len(text.upper()) == 1:
                chosen.setdefault(piece.replace(text, text.upper()))
    frequent = [piece for piece, _ in lower.most_common()]
    whole = [piece for piece in frequent if len(piece) > 1 and piece.isascii() and not piece.startswith(("##", "["))]
    candidates = (
        *frequent,
        *(piece for piece in vocabulary if piece.startswith("##") and piece.isascii()),
        *(piece for piece, count in cased.most_common() if count > 1),
        *(piece.capitalize() for piece in whole),
        *(piece for piece in vocabulary if piece.isascii() and not piece.startswith("[")),
    )
    for piece in candidates:
        if len(chosen) == len(vocabulary):
            break
        chosen.setdefault(piece)
    pieces = tuple(chosen)
    origin = [vocabulary[piece] if piece in special else vocabulary[piece.lower()] for piece in pieces]
    word_shape = [0 if piece in special else word_shape_of(piece) for piece in pieces]
    return CasedVocabulary(pieces, np.array(origin, np.int64), np.array(word_shape, np.int64))


def _count_pieces(tokenizer: Any, words: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Occurrences of each uncased piece, and of each form of a piece that has capitals."""
    piece_of = {i: piece for piece, i in tokenizer.get_vocab().items()}
    counts = Counter(words)
    distinct = list(counts)
    lower: Counter[str] = Counter()
    cased: Counter[str] = Counter()
    for first in range(0, len(distinct), BATCH):
        batch = distinct[first : first + BATCH]
        encoded = tokenizer(batch, add_special_tokens=False, return_offsets_mapping=True)
        for word, ids, offsets in zip(batch, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            for i, (start, end) in zip(ids, offsets, strict=True):
                piece = piece_of[i]
                lower[piece] += counts[word]
                # BERT's uncased tokenizers strip accents.
                text = "".join(c for c in normalize("NFD", word[start:end]) if category(c) != "Mn")
                prefix = "##" if piece.startswith("##") else ""
                if text != text.lower() and prefix + text.lower() == piece:
                    cased[prefix + text] += counts[word]
    return lower, cased


def cased_tokenizer(vocabulary: CasedVocabulary, uncased: Any) -> Any:
    """A fast BERT tokenizer with the vocabulary. It strips accents, as the uncased one did."""
    from transformers import BertTokenizerFast

    return BertTokenizerFast(
        vocab={piece: i for i, piece in enumerate(vocabulary.pieces)},
        do_lower_case=False,
        strip_accents=True,
        model_max_length=uncased.model_max_length,
    )


class CasedEmbedding(nn.Module):
    """Word embeddings plus the vector of each piece's word shape.

    weight: (pieces, width)
    case:   (WORD_SHAPES, width), in units of 1/SHAPE_RATE
    """

    def __init__(self, weight: torch.Tensor, word_shape: NDArray[np.int64]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.case = nn.Parameter(torch.zeros(WORD_SHAPES, weight.shape[1]))
        self.register_buffer("word_shape", torch.from_numpy(word_shape.copy()), persistent=False)
        self.word_shape: torch.Tensor

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, pieces) ids to (batch, pieces, width)."""
        case = nn.functional.embedding(self.word_shape[ids], self.case)
        return nn.functional.embedding(ids, self.weight) + SHAPE_RATE * case

    def plain(self) -> nn.Embedding:
        """The equivalent ordinary embedding."""
        weight = (self.weight + SHAPE_RATE * self.case[self.word_shape]).detach()
        return nn.Embedding(weight.shape[0], weight.shape[1], _weight=weight)
