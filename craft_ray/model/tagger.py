"""One text at a time, in this process, without Ray."""

from typing import Literal

from craft_ray.core.schema import Document, Entity, Section
from craft_ray.core.settings import EMBEDDED
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.decode import Decoder, decode
from craft_ray.model.engines.engine import Precision
from craft_ray.model.inference import Model
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.tokens import TOKEN_COLUMNS, tokenize, with_predictions
from craft_ray.model.windows import Windower


class Tagger:
    """Finds entities in single texts, in the same steps as a run and with the same result.

    >>> tagger = Tagger.load()  # doctest: +SKIP
    >>> [entity.mention for entity in tagger.tag("Pax6 is expressed in the mouse eye.")]  # doctest: +SKIP
    ['Pax6', 'mouse']
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision | Literal["auto"] = "auto") -> None:
        self._windower = Windower.of(checkpoint)
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
        tokens = tokenize([document], self._windower)
        label, score = self._model.predict(*(tokens[name].flatten().to_numpy() for name in TOKEN_COLUMNS))
        entities, _ = decode(with_predictions([document], tokens, label, score), self._decoder)
        return [Entity(**row) for row in entities.drop_columns(["doc_id", "row"]).to_pylist()]
