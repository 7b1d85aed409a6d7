"""Turn corpora and a base model into what a training needs."""

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.model.checkpoint import OWN_SETTINGS, first_line, max_positions, special_tokens, to_numpy
from craft_ray.model.loading import shipped_folder
from craft_ray.model.tokens import load_tokenizer
from craft_ray.model.weights import unpacked_folder
from craft_ray.model.windows import Windower
from craft_ray.model.wordpieces import Units, word_splitter
from craft_ray.training.augmentation import add_noise, names_of, ontology_names, replace_mentions
from craft_ray.training.casing import CasedEmbedding, cased_tokenizer, cased_vocabulary
from craft_ray.training.corpora import Corpus, Sentence
from craft_ray.training.examples import Examples, Head, join_examples, make_examples, unit_tags
from craft_ray.training.recipe import Recipe
from craft_ray.training.trainer import TrainingData

Places = dict[str, tuple[int, int]]
"""Group, and index in it, of each label of a corpus."""


def load_training_data(
    base: str, train: Corpus, dev: Corpus, auxiliary: Sequence[Corpus], recipe: Recipe
) -> TrainingData:
    """Load the base model and prepare the corpora.

    Raises SettingsError if the base cannot be loaded or used, `dev` has labels that `train` does not have, or the
    recipe names labels that `train` does not have.
    """
    if unknown := set(dev.labels) - set(train.labels):
        raise SettingsError(
            f"{dev.name} has labels that {train.name} does not have: {', '.join(sorted(unknown))}; "
            "--map gives a label another name, and --label chooses those to learn"
        )
    if unknown := {*recipe.swap, *recipe.names} - set(train.labels):
        raise SettingsError(f"{train.name} has no label {min(unknown)}, whose names are to be replaced")
    corpora = (train, *auxiliary)
    head, places = make_head(corpora, recipe.nested)

    transformers.set_seed(recipe.seed)
    model, tokenizer = _load_base(base, len(head.tags))
    word_shape = None
    if recipe.cased:
        tokenizer, word_shape = _add_case(model, tokenizer, corpora)
    if recipe.split_symbols:
        tokenizer = _splitting_symbols(tokenizer)
    if recipe.dropout is not None:
        model.config.hidden_dropout_prob = recipe.dropout
    if recipe.attention_dropout is not None:
        model.config.attention_probs_dropout_prob = recipe.attention_dropout

    backend = load_tokenizer(tokenizer.backend_tokenizer.to_str())
    prefix, suffix = special_tokens(backend)
    limit = max_positions(model.config, tokenizer) - len(prefix) - len(suffix)
    windower = Windower(backend, limit, recipe.window_pieces, recipe.nested)  # as in annotation

    def build(sentences: Sequence[Sentence], own: Places) -> tuple[Examples, Units]:
        units, windows = windower([sentence.text for sentence in sentences])
        return make_examples(windows, unit_tags(sentences, units, head, own), prefix, suffix), units

    others = [build(corpus.sentences, own)[0] for corpus, own in zip(auxiliary, places[1:], strict=True)]
    variants = [build(sentences, places[0])[0] for sentences in _variants(train, auxiliary, recipe)]
    dev_examples, dev_units = build(dev.sentences, places[0])
    sources = {
        "base": Path(base).name,
        "train": f"{train.name} ({len(train.sentences)} sentences)",
        "dev": f"{dev.name} ({len(dev.sentences)} sentences)",
    }
    if auxiliary:
        sources["auxiliary"] = ", ".join(corpus.name for corpus in auxiliary)
    # Settings that an earlier training added to the base hold for the base's weights alone.
    config = {name: value for name, value in model.config.to_diff_dict().items() if name not in OWN_SETTINGS}
    return TrainingData(
        sources=sources,
        config=config | label_config(head),
        weights={name: to_numpy(tensor) for name, tensor in model.state_dict().items()},
        word_shape=word_shape,
        tokenizer=tokenizer,
        head=head,
        main_groups=len(train.labels) if recipe.nested else 1,
        examples=tuple(join_examples([variant, *others]) for variant in variants),
        dev=dev_examples,
        dev_units=dev_units,
        recipe=recipe,
    )


def label_config(head: Head) -> dict[str, Any]:
    """The labels of config.json. A group of tags begins at each `O`."""
    return {"id2label": dict(enumerate(head.tags)), "label2id": {tag: i for i, tag in enumerate(head.tags)}}


def make_head(corpora: Sequence[Corpus], nested: bool) -> tuple[Head, list[Places]]:
    """The groups of labels of several corpora, and the places of each corpus's labels.

    With `nested` each label is a group, else each corpus. An auxiliary corpus teaches the groups of the main corpus's
    labels that it shares (`Corpus.shared`).
    """
    groups: list[tuple[str, ...]] = []
    places: list[Places] = []
    for corpus in corpora:
        own: Places = {label: places[0][label] for label in corpus.shared} if places else {}
        rest = [label for label in corpus.labels if label not in own]
        for group in [(label,) for label in rest] if nested else [tuple(rest)]:
            own |= {label: (len(groups), index) for index, label in enumerate(group)}
            groups.append(group)
        places.append(own)
    return Head(tuple(groups)), places


def _variants(train: Corpus, auxiliary: Sequence[Corpus], recipe: Recipe) -> list[list[Sentence]]:
    """The main corpus with replaced names and noise, one variant per epoch; itself if the recipe has neither."""
    if not recipe.swap and not recipe.noise:
        return [train.sentences]
    names = names_of((s for c in (train, *auxiliary) for s in c.sentences), recipe.swap)
    other_names = ontology_names(recipe.names)
    variants = []
    for seed in range(recipe.seed, recipe.seed + math.ceil(recipe.epochs)):
        sentences = replace_mentions(train.sentences, names, recipe.swap, seed, other_names)
        variants.append(add_noise(sentences, recipe.noise, seed))
    return variants


def _load_base(base: str, labels: int) -> tuple[Any, Any]:
    """The encoder with a new head of `labels` rows, and its tokenizer."""
    transformers.logging.set_verbosity_error()  # it would warn about the new head
    transformers.logging.disable_progress_bar()
    with TemporaryDirectory() as folder:
        return _load_folder(unpacked_folder(str(shipped_folder(base) or base), Path(folder, "base")), base, labels)


def _load_folder(folder: str, base: str, labels: int) -> tuple[Any, Any]:
    try:
        config = transformers.AutoConfig.from_pretrained(folder, num_labels=labels, trust_remote_code=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, add_prefix_space=True)
        model = transformers.AutoModelForTokenClassification.from_pretrained(
            folder, config=config, trust_remote_code=False, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot load the base model {base}: {first_line(error)}") from error
    if not tokenizer.is_fast:
        raise SettingsError(f"the base model {base} has no fast tokenizer")
    return model.float(), tokenizer


def _add_case(model: Any, tokenizer: Any, corpora: Sequence[Corpus]) -> tuple[Any, NDArray[np.int64]]:
    """Replace the model's embeddings by cased ones. Returns the cased tokenizer and the pieces' word shapes."""
    vocabulary = cased_vocabulary(tokenizer, (word for c in corpora for s in c.sentences for word in s.text.split()))
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
