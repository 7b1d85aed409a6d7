"""Documents to columns of tokens; and these with the model's predictions to the block that `decode` reads."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from craft_ray.core.schema import SECTIONS, Document
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.windows import Windower
from craft_ray.model.wordpieces import Subwords, join_pieces

TOKEN_COLUMNS = ("token_ids", "window_length", "word_piece")
"""The columns of `tokenize` that `Model.predict` takes."""

MAX_CHARACTERS = 200_000
"""Code points that are tokenized in one call, which bounds the memory of the tokenizer even for a long document."""


def load_tokenizer(serialized: str) -> Tokenizer:
    """A tokenizer from its JSON, with truncation and padding turned off."""
    tokenizer = Tokenizer.from_str(serialized)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenize(documents: Sequence[Document], windower: Windower) -> dict[str, pa.ListArray]:
    """Sentences, windows and words of documents as list columns (`TOKENIZED`), one list per document."""
    starts: list[int] = []
    ends: list[int] = []
    document_numbers: list[int] = []
    parts: list[Subwords] = []
    chunk: list[str] = []
    size = 0
    for number, document in enumerate(documents):
        for section in document.sections:
            for start, end in sentence_spans(document.text, section.start, section.end):
                starts.append(start)
                ends.append(end)
                document_numbers.append(number)
                chunk.append(document.text[start:end])
                size += end - start
                if size >= MAX_CHARACTERS:
                    parts.append(windower.subwords(chunk))
                    chunk, size = [], 0
    pieces = join_pieces([*parts, windower.subwords(chunk)])
    document_of = np.array(document_numbers, np.int64)
    windows = windower.windows(pieces, document_of)
    word_document = document_of[pieces.word_sentence]
    window_document = document_of[windows.window_sentence]

    count = len(documents)
    n_sentences = np.bincount(document_of, minlength=count)
    n_windows = np.bincount(window_document, minlength=count)
    n_words = np.bincount(word_document, minlength=count)
    n_pieces = np.bincount(window_document, weights=windows.window_length, minlength=count).astype(np.int64)
    first_sentence, first_piece = np.cumsum(n_sentences) - n_sentences, np.cumsum(n_pieces) - n_pieces
    sentence_start = np.array(starts, np.int32)
    offset = sentence_start[pieces.word_sentence]
    return {
        "sentence_start": _lists(sentence_start, n_sentences),
        "sentence_end": _lists(np.array(ends, np.int32), n_sentences),
        "token_ids": _lists(windows.token_ids, n_pieces),
        "window_length": _lists(windows.window_length, n_windows),
        "word_piece": _lists(windows.word_piece - first_piece[word_document], n_words),
        "word_sentence": _lists(pieces.word_sentence - first_sentence[word_document], n_words),
        "word_start": _lists(offset + pieces.word_start, n_words),
        "word_end": _lists(offset + pieces.word_end, n_words),
    }


def _lists(values: NDArray[Any], counts: NDArray[np.int64]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.astype(np.int32)))


def with_predictions(
    documents: Sequence[Document],
    tokens: dict[str, pa.ListArray],
    label: NDArray[np.int8],
    score: NDArray[np.float32],
) -> pa.Table:
    """The block that `decode` reads.

    tokens: result of `tokenize`; label, score: (words,) over all documents
    """
    offsets = pa.array(np.concatenate([[0], np.cumsum(tokens["word_start"].value_lengths())]).astype(np.int32))
    return pa.table(
        tokens
        | {
            "doc_id": pa.array([document.doc_id for document in documents], pa.string()),
            "text": pa.array([document.text for document in documents], pa.string()),
            "sections": pa.array([[asdict(section) for section in d.sections] for d in documents], SECTIONS),
            "label_ids": pa.ListArray.from_arrays(offsets, pa.array(label)),
            "scores": pa.ListArray.from_arrays(offsets, pa.array(score)),
        }
    )
