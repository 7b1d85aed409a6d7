"""Corpora and a base model to the examples of each phase."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import label_of
from craft_ray.model.checkpoint import OWN_SETTINGS, max_positions, one_line, special_tokens, to_numpy
from craft_ray.model.shipped import shipped_folder
from craft_ray.model.tokens import load_tokenizer
from craft_ray.model.windows import Subwords, Windower, word_splitter
from craft_ray.training.augmentation import names_of, replace_mentions
from craft_ray.training.casing import CasedEmbedding, cased_tokenizer, cased_vocabulary
from craft_ray.training.corpora import Corpus, TaggedSentence, tag_names
from craft_ray.training.examples import Examples, join_examples, make_examples, word_labels
from craft_ray.training.noise import add_noise
from craft_ray.training.ontology_names import ontology_names
from craft_ray.training.recipe import Recipe
from craft_ray.training.trainer import Phase, Weights


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The data that all phases of training use.

    config, weights: the base model with a fresh head for all labels
    tags, examples: one for each corpus: the one to train on, then the auxiliary ones
    rounds: variants of the first corpus's examples, one per seed; each training has those from its own seed on
    """

    base: str
    recipe: Recipe
    config: dict[str, Any]
    weights: Weights
    word_shape: NDArray[np.int64] | None
    tokenizer: Any
    tags: tuple[tuple[str, ...], ...]
    examples: tuple[Examples, ...]
    rounds: tuple[Examples, ...]
    dev: Examples
    dev_sentence: NDArray[np.int32]
    auxiliary: tuple[str, ...]

    @classmethod
    def load(cls, base: str, train: Corpus, dev: Corpus, auxiliary: Sequence[Corpus], recipe: Recipe) -> "TrainingData":
        """Read the base and the corpora.

        Raises SettingsError for what cannot be trained on.
        """
        own = tag_names(train.sentences)
        if unknown := {tag for s in dev.sentences for tag in s.tags} - set(own):
            raise SettingsError(f"{dev.name} has tags that {train.name} has not: {', '.join(sorted(unknown))}")
        labels = {label_of(tag) for tag in own if tag != "O"}
        if strange := sorted({*recipe.swap, *recipe.names} - labels):
            raise SettingsError(f"{train.name} has no label {strange[0]}, whose names are to be replaced")
        tags = (own, *(_tags_of(corpus) for corpus in auxiliary))
        transformers.set_seed(recipe.seed)
        model, tokenizer = _load_base(base, sum(map(len, tags)))
        word_shape = None
        if recipe.cased:
            corpora = (train, *auxiliary)
            vocabulary = cased_vocabulary(tokenizer, (word for c in corpora for s in c.sentences for word in s.words))
            embeddings = model.get_input_embeddings().weight.detach()[torch.from_numpy(vocabulary.origin)]
            model.set_input_embeddings(CasedEmbedding(embeddings.clone(), vocabulary.word_shape))
            model.config.vocab_size = len(vocabulary.pieces)
            tokenizer, word_shape = cased_tokenizer(vocabulary, tokenizer), vocabulary.word_shape
        if recipe.split_symbols:
            tokenizer = _splitting_symbols(tokenizer)
        if recipe.dropout is not None:
            model.config.hidden_dropout_prob = recipe.dropout
        if recipe.attention_dropout is not None:
            model.config.attention_probs_dropout_prob = recipe.attention_dropout
        cutter = _Cutter.of(tokenizer, model.config, recipe.window_pieces)
        first = np.cumsum([0, *(len(names) for names in tags)])
        examples = tuple(
            cutter.cut(corpus.sentences, {tag: i + int(at) for i, tag in enumerate(names)})[0]
            for corpus, names, at in zip((train, *auxiliary), tags, first[:-1], strict=True)
        )
        number = {tag: i for i, tag in enumerate(own)}
        rounds = [cutter.cut(sentences, number)[0] for sentences in _variants(train, auxiliary, recipe)]
        dev_examples, pieces = cutter.cut(dev.sentences, number)
        return cls(
            base=base,
            recipe=recipe,
            # What an earlier training of the base found out holds for its weights alone.
            config={n: v for n, v in model.config.to_diff_dict().items() if n not in OWN_SETTINGS},
            weights={name: to_numpy(tensor) for name, tensor in model.state_dict().items()},
            word_shape=word_shape,
            tokenizer=tokenizer,
            tags=tags,
            examples=examples,
            rounds=tuple(rounds) or examples[:1],
            dev=dev_examples,
            dev_sentence=pieces.word_sentence,
            auxiliary=tuple(corpus.name for corpus in auxiliary),
        )

    def joint_stage(self, weights: Weights) -> Phase:
        """All corpora together."""
        phase = self._phase(weights, self.tags)
        rate = self.recipe.auxiliary_learning_rate or self.recipe.learning_rate
        repeated = [self.examples[0]] * self.recipe.auxiliary_repeats
        examples = join_examples([*repeated, *self.examples[1:]])
        return replace(phase, examples=(examples,), learning_rate=rate, epochs=self.recipe.auxiliary_epochs)

    def last_stage(self, weights: Weights, number: int = 0) -> Phase:
        """The corpus itself; training `number` of those that are averaged is as one with a seed higher by it alone."""
        phase = self._phase(weights, self.tags[:1])
        recipe = self.recipe.model_copy(update={"seed": self.recipe.seed + number})
        own = self.rounds[number : number + math.ceil(recipe.epochs)] if len(self.rounds) > 1 else self.rounds
        return replace(phase, recipe=recipe, examples=own)

    def _phase(self, weights: Weights, tags: tuple[tuple[str, ...], ...]) -> Phase:
        names = [tag if number == 0 else f"{number}:{tag}" for number, own in enumerate(tags) for tag in own]
        return Phase(
            config=self.config | {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}},
            weights=weights,
            word_shape=self.word_shape,
            tokenizer=self.tokenizer,
            corpus=np.repeat(np.arange(len(tags)), [len(own) for own in tags]),
            examples=self.rounds,
            dev=self.dev,
            dev_sentence=self.dev_sentence,
            recipe=self.recipe,
            learning_rate=self.recipe.learning_rate,
            epochs=self.recipe.epochs,
        )


def _variants(train: Corpus, auxiliary: Sequence[Corpus], recipe: Recipe) -> list[list[TaggedSentence]]:
    """The corpus as each epoch has it, of all trainings that are averaged; none if all epochs have it as it is."""
    if not recipe.swap and not recipe.noise:
        return []
    names = names_of((s for c in (train, *auxiliary) for s in c.sentences), recipe.swap)
    others = ontology_names(recipe.names)
    variants = []
    for seed in range(recipe.seed, recipe.seed + math.ceil(recipe.epochs) + recipe.averaged - 1):
        sentences = replace_mentions(train.sentences, names, recipe.swap, seed, others)
        variants.append(add_noise(sentences, recipe.noise, seed))
    return variants


@dataclass(frozen=True, slots=True)
class _Cutter:
    """Sentences to examples, as a checkpoint will read them."""

    windower: Windower
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any, config: Any, window_pieces: int) -> "_Cutter":
        backend = load_tokenizer(tokenizer.backend_tokenizer.to_str())
        prefix, suffix = special_tokens(backend)
        limit = max_positions(config, tokenizer) - len(prefix) - len(suffix)
        return cls(Windower(backend, limit, window_pieces), prefix, suffix)

    def cut(self, sentences: Sequence[TaggedSentence], number: dict[str, int]) -> tuple[Examples, Subwords]:
        pieces, windows = self.windower([s.words for s in sentences])
        labels = word_labels([s.tags for s in sentences], pieces, number)
        return make_examples(windows, labels, self.prefix, self.suffix), pieces


def _splitting_symbols(tokenizer: Any) -> Any:
    """A BERT tokenizer that also splits words as `word_splitter` does."""
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = word_splitter()
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=tokenizer.model_max_length, **special
    )


def _tags_of(corpus: Corpus) -> tuple[str, ...]:
    """The tags that occur, `O` first."""
    return tuple(sorted({"O"} | {tag for s in corpus.sentences for tag in s.tags}, key=lambda tag: (tag != "O", tag)))


def _load_base(base: str, labels: int) -> tuple[Any, Any]:
    """The encoder with a new head of so many labels, and its tokenizer; a model that ships keeps its own head."""
    transformers.logging.set_verbosity_error()  # its reports are of the head, which is to be a new one
    transformers.logging.disable_progress_bar()
    shipped = shipped_folder(base)
    base = str(shipped) if shipped else base
    try:
        config = transformers.AutoConfig.from_pretrained(base, num_labels=labels, trust_remote_code=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(base, trust_remote_code=False, add_prefix_space=True)
        model = transformers.AutoModelForTokenClassification.from_pretrained(
            base, config=config, trust_remote_code=False, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot load the base model {base}: {one_line(error)}") from error
    if not tokenizer.is_fast:
        raise SettingsError(f"the base model {base} has no fast tokenizer")
    return model.float(), tokenizer
