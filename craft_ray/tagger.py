"""One text at a time, in this process, without Ray."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from craft_ray.checkpoint import EMBEDDED, Checkpoint, load_checkpoint
from craft_ray.decode import Decoder, decode
from craft_ray.model import Model, Precision
from craft_ray.prepare import tokenize
from craft_ray.schema import SECTIONS, TOKEN_COLUMNS, Document, Entity, Section


class Tagger:
    """Finds entities in single texts, in the same steps as a run and with the same result.

    >>> tagger = Tagger.load()  # doctest: +SKIP
    >>> [entity.mention for entity in tagger.tag("Pax6 is expressed in the mouse eye.")]  # doctest: +SKIP
    ['Pax6', 'mouse']
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision | Literal["auto"] = "auto") -> None:
        self._tokenizer = Tokenizer.from_str(checkpoint.tokenizer)
        self._pieces = checkpoint.max_pieces, checkpoint.window_pieces
        self._decoder = Decoder.of(checkpoint)
        self._model = Model.of(checkpoint, precision)

    @classmethod
    def load(cls, model: str = EMBEDDED) -> "Tagger":
        """Load the embedded model, a local folder or a Hugging Face id.

        Raises SettingsError if there is no such model.
        """
        return cls(load_checkpoint(model))

    def tag(self, text: str) -> list[Entity]:
        """The entities of a text, in order; `text[entity.start:entity.end] == entity.mention`."""
        return self.tag_document(Document("", text, (Section("text", 0, len(text)),) if text else ()))

    def tag_document(self, document: Document) -> list[Entity]:
        """The entities of a document as a reader gives it, in order."""
        tokens = tokenize([document], self._tokenizer, *self._pieces)
        label, score = self._model.predict(*(tokens[name].flatten().to_numpy() for name in TOKEN_COLUMNS))
        entities, _ = decode(answered([document], tokens, label, score), self._decoder)
        return [Entity(**row) for row in entities.drop_columns(["doc_id", "row"]).to_pylist()]


def answered(
    documents: Sequence[Document],
    tokens: dict[str, pa.ListArray],
    label: NDArray[np.int8],
    score: NDArray[np.float32],
) -> pa.Table:
    """Documents, their `prepare.tokenize` and the model's answers as the block that `decode` reads.

    label, score: (words,) over all documents
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
