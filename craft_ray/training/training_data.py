"""Turn corpora and a base model into the stages of a training.

A training has a stage for all corpora together if it has auxiliary ones, then one main stage on the corpus itself, or
several with different seeds whose weights are averaged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import label_of
from craft_ray.model.checkpoint import OWN_SETTINGS, first_line, max_positions, special_tokens, to_numpy
from craft_ray.model.loading import shipped_folder
from craft_ray.model.tokens import load_tokenizer
from craft_ray.model.windows import Windower
from craft_ray.model.wordpieces import word_splitter
from craft_ray.training.augmentation import names_of, replace_mentions
from craft_ray.training.casing import CasedEmbedding, cased_tokenizer, cased_vocabulary
from craft_ray.training.corpora import Corpus, TaggedSentence, tag_names
from craft_ray.training.examples import Examples, join_examples, make_examples, word_labels
from craft_ray.training.noise import add_noise
from craft_ray.training.ontology_names import ontology_names
from craft_ray.training.recipe import Recipe
from craft_ray.training.trainer import Stage, Weights


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The data of all stages of a training.

    tags, examples: for each corpus: the main one, then the auxiliary ones
    variants:       variants of the main corpus's examples, one per seed; a main stage uses those from its own seed on
    auxiliary:      names of the auxiliary corpora
    initial:        a stage of all corpora's labels with the base model's weights; the others are derived from it
    """

    base: str
    tags: tuple[tuple[str, ...], ...]
    examples: tuple[Examples, ...]
    variants: tuple[Examples, ...]
    auxiliary: tuple[str, ...]
    initial: Stage

    @classmethod
    def load(cls, base: str, train: Corpus, dev: Corpus, auxiliary: Sequence[Corpus], recipe: Recipe) -> "TrainingData":
        """Load the base model and prepare the corpora.

        Raises SettingsError if the base cannot be loaded or used, `dev` has tags that `train` does not have, or the
        recipe names labels that `train` does not have.
        """
        main_tags = tag_names(train.sentences)
        if unknown := {tag for s in dev.sentences for tag in s.tags} - set(main_tags):
            raise SettingsError(f"{dev.name} has tags that {train.name} does not have: {', '.join(sorted(unknown))}")
        if unknown := {*recipe.swap, *recipe.names} - {label_of(tag) for tag in main_tags if tag != "O"}:
            raise SettingsError(f"{train.name} has no label {min(unknown)}, whose names are to be replaced")
        tags = (main_tags, *(_occurring_tags(corpus) for corpus in auxiliary))
        corpora = (train, *auxiliary)

        transformers.set_seed(recipe.seed)
        model, tokenizer = _load_base(base, sum(map(len, tags)))
        word_shape = None
        if recipe.cased:
            tokenizer, word_shape = _add_case(model, tokenizer, corpora)
        if recipe.split_symbols:
            tokenizer = _splitting_symbols(tokenizer)
        if recipe.dropout is not None:
            model.config.hidden_dropout_prob = recipe.dropout
        if recipe.attention_dropout is not None:
            model.config.attention_probs_dropout_prob = recipe.attention_dropout

        builder = _ExampleBuilder.for_model(tokenizer, model.config, recipe.window_pieces)
        label_ids = {tag: i for i, tag in enumerate(main_tags)}
        first_ids = accumulate(map(len, tags), initial=0)
        examples = tuple(
            builder.build(corpus.sentences, {tag: first + i for i, tag in enumerate(names)})[0]
            for corpus, names, first in zip(corpora, tags, first_ids, strict=False)
        )
        variants = tuple(builder.build(sentences, label_ids)[0] for sentences in _variants(train, auxiliary, recipe))
        dev_examples, dev_sentence = builder.build(dev.sentences, label_ids)
        return cls(
            base=base,
            tags=tags,
            examples=examples,
            variants=variants or examples[:1],
            auxiliary=tuple(corpus.name for corpus in auxiliary),
            initial=Stage(
                # Settings that an earlier training added to the base hold for the base's weights alone.
                config={n: v for n, v in model.config.to_diff_dict().items() if n not in OWN_SETTINGS},
                weights={name: to_numpy(tensor) for name, tensor in model.state_dict().items()},
                word_shape=word_shape,
                tokenizer=tokenizer,
                corpus=np.repeat(np.arange(len(tags)), list(map(len, tags))),
                examples=variants or examples[:1],
                dev=dev_examples,
                dev_sentence=dev_sentence,
                recipe=recipe,
            ),
        )

    def auxiliary_stage(self, weights: Weights) -> Stage:
        """All corpora together, each with rows of its own in the head."""
        recipe = self.initial.recipe
        rate = recipe.auxiliary_learning_rate or recipe.learning_rate
        return replace(
            self._with_labels(weights, len(self.tags)),
            examples=(join_examples([*[self.examples[0]] * recipe.auxiliary_repeats, *self.examples[1:]]),),
            recipe=recipe.model_copy(update={"learning_rate": rate, "epochs": recipe.auxiliary_epochs}),
        )

    def main_stage(self, weights: Weights, number: int = 0) -> Stage:
        """The main corpus alone. Stage `number` of an averaged training equals a training whose seed is that higher."""
        recipe = self.initial.recipe
        epochs = slice(number, number + math.ceil(recipe.epochs)) if len(self.variants) > 1 else slice(1)
        return replace(
            self._with_labels(weights, 1),
            examples=self.variants[epochs],
            recipe=recipe.model_copy(update={"seed": recipe.seed + number}),
        )

    def _with_labels(self, weights: Weights, corpora: int) -> Stage:
        """The initial stage with other weights, and a head for the tags of the first corpora."""
        tags = [tag if n == 0 else f"{n}:{tag}" for n, names in enumerate(self.tags[:corpora]) for tag in names]
        labels = {"id2label": dict(enumerate(tags)), "label2id": {tag: i for i, tag in enumerate(tags)}}
        corpus = self.initial.corpus[: len(tags)]
        return replace(self.initial, config=self.initial.config | labels, weights=weights, corpus=corpus)


def _occurring_tags(corpus: Corpus) -> tuple[str, ...]:
    """The tags that occur, `O` first."""
    return tuple(sorted({"O"} | {tag for s in corpus.sentences for tag in s.tags}, key=lambda tag: (tag != "O", tag)))


def _variants(train: Corpus, auxiliary: Sequence[Corpus], recipe: Recipe) -> list[list[TaggedSentence]]:
    """The main corpus with replaced names and noise, one variant per epoch and seed; none if the recipe has neither."""
    if not recipe.swap and not recipe.noise:
        return []
    names = names_of((s for c in (train, *auxiliary) for s in c.sentences), recipe.swap)
    other_names = ontology_names(recipe.names)
    variants = []
    for seed in range(recipe.seed, recipe.seed + math.ceil(recipe.epochs) + recipe.averaged - 1):
        sentences = replace_mentions(train.sentences, names, recipe.swap, seed, other_names)
        variants.append(add_noise(sentences, recipe.noise, seed))
    return variants


@dataclass(frozen=True, slots=True)
class _ExampleBuilder:
    """Turns sentences into the same windows that annotation makes of them."""

    windower: Windower
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    @classmethod
    def for_model(cls, tokenizer: Any, config: Any, window_pieces: int) -> "_ExampleBuilder":
        backend = load_tokenizer(tokenizer.backend_tokenizer.to_str())
        prefix, suffix = special_tokens(backend)
        limit = max_positions(config, tokenizer) - len(prefix) - len(suffix)
        return cls(Windower(backend, limit, window_pieces), prefix, suffix)

    def build(
        self, sentences: Sequence[TaggedSentence], label_ids: Mapping[str, int]
    ) -> tuple[Examples, NDArray[np.int32]]:
        """The examples, and the sentence number of each word, shape (words,)."""
        subwords, windows = self.windower([s.words for s in sentences])
        labels = word_labels(sentences, subwords, label_ids)
        return make_examples(windows, labels, self.prefix, self.suffix), subwords.word_sentence


def _load_base(base: str, labels: int) -> tuple[Any, Any]:
    """The encoder with a new head of `labels` rows, and its tokenizer."""
    transformers.logging.set_verbosity_error()  # it would warn about the new head
    transformers.logging.disable_progress_bar()
    base = str(shipped_folder(base) or base)
    try:
        config = transformers.AutoConfig.from_pretrained(base, num_labels=labels, trust_remote_code=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(base, trust_remote_code=False, add_prefix_space=True)
        model = transformers.AutoModelForTokenClassification.from_pretrained(
            base, config=config, trust_remote_code=False, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot load the base model {base}: {first_line(error)}") from error
    if not tokenizer.is_fast:
        raise SettingsError(f"the base model {base} has no fast tokenizer")
    return model.float(), tokenizer


def _add_case(model: Any, tokenizer: Any, corpora: Sequence[Corpus]) -> tuple[Any, NDArray[np.int64]]:
    """Replace the model's embeddings by cased ones. Returns the cased tokenizer and the pieces' word shapes."""
    vocabulary = cased_vocabulary(tokenizer, (word for c in corpora for s in c.sentences for word in s.words))
    embeddings = model.get_input_embeddings().weight.detach()[torch.from_numpy(vocabulary.origin)]
    model.set_input_embeddings(CasedEmbedding(embeddings.clone(), vocabulary.word_shape))
    model.config.vocab_size = len(vocabulary.pieces)
    return cased_tokenizer(vocabulary, tokenizer), vocabulary.word_shape


def _splitting_symbols(tokenizer: Any) -> Any:
    """A BERT tokenizer that splits words at symbols too, as `word_splitter` does."""
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = word_splitter()
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=tokenizer.model_max_length, **special
    )
