"""Texts and documents in this process, without Ray."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from craft_ray.annotation.dictionary import with_dictionary
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.loading import load_grounder
from craft_ray.core.highlight import highlighted_html
from craft_ray.core.schema import Document, Entity, document_of
from craft_ray.core.settings import Settings, load_settings
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.decode import Decoder, decode
from craft_ray.model.engines.engine import Precision
from craft_ray.model.inference import Model
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.tokens import TOKEN_COLUMNS, tokenize, with_predictions
from craft_ray.model.windows import Windower
from craft_ray.storage.storage import Storage

BATCH_CHARACTERS = 200_000
"""Characters of the documents that are predicted together."""


class Entities(list[Entity]):
    """The entities of a text, in order. In a notebook they show as the text with its entities marked.

    left_out: number of mentions left out by label, for a low score or because no concept fits them
    styles:   colours of the labels, if the model has its own
    """

    def __init__(
        self,
        text: str,
        entities: Iterable[Entity] = (),
        left_out: Mapping[str, int] | None = None,
        styles: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(entities)
        self.text = text
        self.left_out = Counter(left_out or {})
        self.styles = dict(styles or {})

    def _repr_html_(self) -> str:
        return highlighted_html(self.text, [asdict(entity) for entity in self], self.styles)


class Tagger:
    """Finds entities in texts without Ray, with the same result as a run.

    >>> tagger = Tagger.load()  # doctest: +SKIP
    >>> [entity.mention for entity in tagger.tag("Pax6 is expressed in the mouse eye.")]  # doctest: +SKIP
    ['Pax6', 'mouse']
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: Precision | Literal["auto"] = "auto",
        grounder: Grounder | None = None,
        threads: int | None = None,
        engine: str = "auto",
    ) -> None:
        """Prepare a checkpoint.

        grounder: gives entities their concepts; without it they have none
        threads:  CPU threads; by default as many as there are cores
        engine:   as in the settings

        Raises SettingsError for a precision or an engine that this machine's CPU or the checkpoint does not support.
        """
        self._grounder = grounder
        self.descriptions = checkpoint.descriptions
        self._windower = Windower.of(checkpoint)
        self._decoder = Decoder.of(checkpoint)
        self._model = Model.of(checkpoint, precision, threads, engine)
        self._loaded: tuple[Any, ...] | None = None

    @classmethod
    def load(
        cls, model: str | Path | None = None, settings: Settings | None = None, *, threads: int | None = None
    ) -> "Tagger":
        """Load a model and the lexicon.

        The result can be pickled: another process loads the same again.

        model:    a model that ships, a local folder or a Hugging Face id; by default the one in the settings
        settings: by default those of the environment and of craft-ray.yaml
        threads:  CPU threads; by default as many as there are cores. One starts fastest

        Raises SettingsError if the model does not exist, an ontology cannot be used, or the engine does not run here.
        """
        chosen = settings or load_settings()
        storage = Storage.of(chosen)
        checkpoint = load_checkpoint(chosen.model if model is None else str(model), storage.fetch)
        checkpoint = checkpoint.with_labels(chosen.labels)
        labels = (checkpoint.tags.names, checkpoint.rescoring, checkpoint.descriptions)
        grounder = load_grounder(chosen, storage, *labels)
        if grounder is not None:
            checkpoint = checkpoint.with_candidates()
        tagger = cls(checkpoint, chosen.precision, grounder, threads, chosen.engine)
        public = chosen.model_copy(update={"notify": None}).model_dump_json()  # without a secret
        tagger._loaded = model, public, threads, checkpoint.fingerprint, grounder and grounder.lexicon.fingerprint
        return tagger

    def __reduce__(self) -> tuple[Any, ...]:
        if self._loaded is None:
            raise TypeError("a Tagger can be pickled if it was made by Tagger.load")
        return _load_again, self._loaded

    def tag(self, text: str) -> Entities:
        """Return the entities of a text, in order; `text[entity.start:entity.end] == entity.mention`."""
        return self.tag_many([text])[0]

    def tag_many(self, texts: Iterable[str]) -> list[Entities]:
        """Return the entities of each text, faster than `tag` one by one and with the same result.

        Raises TypeError if `texts` is a single string or holds something else than strings.
        """
        if isinstance(texts, str):
            raise TypeError("tag_many takes several texts; tag takes one")
        return self.tag_documents([_document(text) for text in texts])

    def tag_document(self, document: Document) -> Entities:
        """Return the entities of a document of a reader, in order."""
        return self.tag_documents([document])[0]

    def tag_documents(self, documents: Sequence[Document]) -> list[Entities]:
        """Return the entities of each document.

        Raises TypeError if one is not a `craft_ray.Document`.
        """
        if wrong := next((one for one in documents if not isinstance(one, Document)), None):
            raise TypeError(f"a document is a craft_ray.Document, not {type(wrong).__name__}; tag_many takes texts")
        found: list[Entities] = []
        for batch in _batches(documents):
            found += self._tag(batch)
        return found

    def _tag(self, documents: list[Document]) -> list[Entities]:
        tokens = tokenize(documents, self._windower)
        pieces, units = (tokens[name].value_lengths().to_numpy() for name in ("token_ids", "unit_piece"))
        token_ids, window_length, unit_piece = (tokens[name].flatten().to_numpy() for name in TOKEN_COLUMNS)
        predictions = self._model.predict(
            token_ids,
            window_length,
            (unit_piece + np.repeat(np.cumsum(pieces) - pieces, units)).astype(np.int32),
            tokens["unit_inner"].flatten().to_numpy(zero_copy_only=False),
        )
        block = with_predictions(documents, tokens, predictions)
        entities, _ = decode(block, self._decoder)
        styles = {label: one.style for label, one in self.descriptions.items() if one.style}
        found = [Entities(document.text, styles=styles) for document in documents]
        if self._grounder is not None:
            entities = with_dictionary(entities, block, self._grounder.dictionary)
            entities, left_out = self._grounder.ground(entities, [document.text for document in documents])
            for row, name in zip(*(left_out[name].to_pylist() for name in ("row", "label")), strict=True):
                found[row].left_out[name] += 1
        columns = [name for name in Entity.__dataclass_fields__ if name in entities.schema.names]
        for row, entity in zip(entities["row"].to_pylist(), entities.select(columns).to_pylist(), strict=True):
            found[row].append(Entity(**entity))
        return found


def _load_again(model: str | Path | None, settings: str, threads: int | None, *fingerprints: str | None) -> Tagger:
    """fingerprints: by which what has the pickle for a key, as `datasets.map`, notices another model or lexicon"""
    return Tagger.load(model, Settings.model_validate_json(settings), threads=threads)


def _document(text: str) -> Document:
    if not isinstance(text, str):
        raise TypeError(f"a text is a str, not {type(text).__name__}")
    return document_of("", text)


def _batches(documents: Sequence[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
