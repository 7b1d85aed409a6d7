"""One text at a time, in this process, without Ray."""

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from craft_ray.checkpoint import EMBEDDED, Checkpoint, load_checkpoint
from craft_ray.decode import decode
from craft_ray.model import Model, Precision
from craft_ray.prepare import tokenize
from craft_ray.schema import SECTIONS, Document, Entity, Section


class Tagger:
    """Finds entities in single texts, in the same steps as a run and with the same result.

    >>> tagger = Tagger.load()  # doctest: +SKIP
    >>> [entity.mention for entity in tagger.tag("Pax6 is expressed in the mouse eye.")]  # doctest: +SKIP
    ['Pax6', 'mouse']
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "fp32") -> None:
        self._tokenizer = Tokenizer.from_str(checkpoint.tokenizer)
        self._max_pieces = checkpoint.max_pieces
        self._tags = checkpoint.tags
        self._model = Model(checkpoint, precision=precision)

    @classmethod
    def load(cls, model: str = EMBEDDED) -> "Tagger":
        """Load the embedded model, a local folder or a Hugging Face id.

        Raises SettingsError if there is no such model.
        """
        return cls(load_checkpoint(model))

    def tag(self, text: str) -> list[Entity]:
        """The entities of a text, in order; `text[entity.start:entity.end] == entity.mention`."""
        document = Document("", text, (Section("text", 0, len(text)),) if text else ())
        tokens = tokenize([document], self._tokenizer, self._max_pieces)
        label, score = self._model.predict(
            *(tokens[name].flatten().to_numpy() for name in ("token_ids", "window_length", "word_piece"))
        )
        offsets = pa.array(np.array([0, len(label)], np.int32))
        sections = [
            [{"name": section.name, "start": section.start, "end": section.end} for section in document.sections]
        ]
        block = pa.table(
            tokens
            | {
                "doc_id": pa.array([""]),
                "text": pa.array([text]),
                "sections": pa.array(sections, SECTIONS),
                "label_ids": pa.ListArray.from_arrays(offsets, pa.array(label)),
                "scores": pa.ListArray.from_arrays(offsets, pa.array(score)),
            }
        )
        entities, _ = decode(block, self._tags)
        return [Entity(**row) for row in entities.drop_columns(["doc_id", "row"]).to_pylist()]
