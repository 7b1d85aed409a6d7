"""Documents to columns of tokens; and these with the model's predictions to the block that `decode` reads."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from craft_ray.core.errors import CraftRayError
from craft_ray.core.schema import SECTIONS, Document
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tags import Predictions
from craft_ray.model.windows import Windower
from craft_ray.model.wordpieces import Subwords, join_pieces

TOKEN_COLUMNS = ("token_ids", "window_length", "unit_piece")
"""The columns of `tokenize` that `Model.predict` takes."""

MAX_CHARACTERS = 200_000
"""Code points that are tokenized in one call, which bounds the memory of the tokenizer even for a long document."""


def load_tokenizer(serialized: str) -> Tokenizer:
    """A tokenizer from its JSON, with truncation and padding turned off."""
    tokenizer = Tokenizer.from_str(serialized)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class TooManyPiecesError(CraftRayError):
    """A document has too many word pieces. `document` is its index."""

    def __init__(self, document: int, max_pieces: int) -> None:
        super().__init__(f"a document of more than {max_pieces:,} word pieces")
        self.document = document


def tokenize(
    documents: Sequence[Document], windower: Windower, max_pieces: int | None = None
) -> dict[str, pa.ListArray]:
    """Sentences, windows and units of documents as list columns (`TOKENIZED`), one list per document.

    Raises TooManyPiecesError if a document has more than `max_pieces` word pieces.
    """
    starts: list[int] = []
    ends: list[int] = []
    document_numbers: list[int] = []
    parts: list[Subwords] = []
    chunk: list[str] = []
    size = 0
    pieces_so_far = np.zeros(len(documents), np.int64)

    def tokenize_chunk() -> None:
        parts.append(windower.subwords(chunk))
        np.add.at(pieces_so_far, document_numbers[len(starts) - len(chunk) :], parts[-1].sentence_length)
        if max_pieces is not None and (pieces_so_far > max_pieces).any():
            raise TooManyPiecesError(int(pieces_so_far.argmax()), max_pieces)

    for number, document in enumerate(documents):
        for section in document.sections:
            for start, end in sentence_spans(document.text, section.start, section.end):
                starts.append(start)
                ends.append(end)
                document_numbers.append(number)
                chunk.append(document.text[start:end])
                size += end - start
                if size >= MAX_CHARACTERS:
                    tokenize_chunk()
                    chunk, size = [], 0
    tokenize_chunk()
    pieces = join_pieces(parts)
    document_of = np.array(document_numbers, np.int64)
    units, windows = windower.windows(pieces, document_of)
    unit_document = document_of[units.sentence]
    window_document = document_of[windows.window_sentence]

    count = len(documents)
    n_sentences = np.bincount(document_of, minlength=count)
    n_windows = np.bincount(window_document, minlength=count)
    n_units = np.bincount(unit_document, minlength=count)
    n_pieces = np.bincount(window_document, weights=windows.window_length, minlength=count).astype(np.int64)
    first_sentence, first_piece = np.cumsum(n_sentences) - n_sentences, np.cumsum(n_pieces) - n_pieces
    sentence_start = np.array(starts, np.int32)
    offset = sentence_start[units.sentence]
    return {
        "sentence_start": _lists(sentence_start, n_sentences),
        "sentence_end": _lists(np.array(ends, np.int32), n_sentences),
        "token_ids": _lists(windows.token_ids, n_pieces),
        "window_length": _lists(windows.window_length, n_windows),
        "unit_piece": _lists(windows.unit_piece - first_piece[unit_document], n_units),
        "unit_sentence": _lists(units.sentence - first_sentence[unit_document], n_units),
        "unit_start": _lists(offset + units.start, n_units),
        "unit_end": _lists(offset + units.end, n_units),
        "unit_inner": _lists(units.inner, n_units),
    }


def _lists(values: NDArray[Any], counts: NDArray[np.int64]) -> pa.ListArray:
    """A list of values per row, of which int64 become int32."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = values.astype(np.int32) if values.dtype == np.int64 else values
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def prediction_lists(predictions: Predictions, units: NDArray[np.int64]) -> dict[str, pa.ListArray]:
    """Predictions as list columns, with units counted from the start of their document.

    units: (documents,) number of units of each
    """
    to = np.cumsum(units)
    document = np.searchsorted(to, predictions.unit, side="right")
    counts = np.bincount(document, minlength=len(units))
    return {
        "predicted_unit": _lists(predictions.unit - (to - units)[document], counts),
        "label_ids": _lists(predictions.label_id, counts),
        "scores": _lists(predictions.score, counts),
    }


def with_predictions(
    documents: Sequence[Document], tokens: dict[str, pa.ListArray], predictions: Predictions
) -> pa.Table:
    """The block that `decode` reads.

    tokens: result of `tokenize`; predictions: of all documents
    """
    return pa.table(
        tokens
        | prediction_lists(predictions, tokens["unit_start"].value_lengths().to_numpy())
        | {
            "doc_id": pa.array([document.doc_id for document in documents], pa.string()),
            "text": pa.array([document.text for document in documents], pa.string()),
            "sections": pa.array([[asdict(section) for section in d.sections] for d in documents], SECTIONS),
        }
    )
