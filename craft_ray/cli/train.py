"""`craft-ray train`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from craft_ray.cli.console import console, print_status
from craft_ray.cli.evaluate import Labels, print_scores
from craft_ray.cli.options import Json, Map, SettingsFile, label_pairs, options_from
from craft_ray.core.errors import SettingsError
from craft_ray.core.packages import require
from craft_ray.training.recipe import Auxiliary, Recipe, TrainingFile, read_training_file

if TYPE_CHECKING:
    from craft_ray.annotation.tagger import Tagger
    from craft_ray.training.corpora import Corpus, GoldDocument, Sentence

EXAMPLES = {
    "train": (
        "craft-ray train --train train.tsv --dev devel.tsv "
        "--base dmis-lab/biobert-base-cased-v1.2 --output biobert-craft",
        "craft-ray train --train viruses.pubtator --dev-share 0.1 --labels labels.yaml --base craft --output viruses",
        "craft-ray train --recipe recipe.yaml --output model",
        "craft-ray train --train CRAFT --train-ids train.txt --dev CRAFT --dev-ids dev.txt --base DIR --output s3://bucket/model",
    )
}


@options_from(TrainingFile, panel="Corpora")
@options_from(Recipe, panel="Recipe")
def train(
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder for the checkpoint and its card, on disk or s3://.")
    ],
    recipe: Annotated[
        Path | None,
        typer.Option(help="YAML file of corpora, base and recipe; other options override it."),
    ] = None,
    auxiliary: Annotated[
        list[str] | None,
        typer.Option(help="Corpus with labels of its own, learned beside the main one; repeatable."),
    ] = None,
    names: Map = None,
    label: Labels = None,
    workers: Annotated[int, typer.Option(help="Processes that train together, one per GPU.")] = 1,
    accumulate: Annotated[int, typer.Option(help="Parts in which a worker computes each step, to save memory.")] = 1,
    as_json: Json = False,
    settings: SettingsFile = None,
    **chosen: Any,
) -> None:
    """Fine-tune an encoder on a corpus. The defaults are the published CRAFT card's.

    The same command resumes from the last epoch after it was killed.
    """
    for package in ("torch", "transformers", "accelerate"):
        require(package, "training")  # fails before Ray starts
    file = read_training_file(recipe) if recipe else TrainingFile()
    shares = dict(pair.partition("=")[::2] for pair in chosen["swap"] or ())  # `Protein=0.4`
    options = chosen | {"swap": shares or None, "auxiliary": auxiliary or None}
    training = file.with_options({name: value for name, value in options.items() if value is not None})
    train_corpus, dev_corpus = _read_corpora(training, label_pairs(names or []), label or [])
    auxiliaries = [_read_auxiliary(one) for one in training.auxiliary]

    from craft_ray.annotation.tagger import Tagger
    from craft_ray.cli.progress import step_progress
    from craft_ray.core.descriptions import read_descriptions
    from craft_ray.core.settings import load_settings
    from craft_ray.training.train import train as run  # takes seconds

    loaded = load_settings(settings)
    tagger = cache(partial(Tagger.load, settings=loaded))
    on = console(stderr=True)
    with step_progress(on) as show_step:
        result = run(
            train_corpus,
            dev_corpus,
            training.require("base"),
            output,
            training.recipe,
            auxiliary=[_auxiliary_corpus(*one, train_corpus.labels, tagger) for one in auxiliaries],
            labels=read_descriptions(training.labels) if training.labels else {},
            workers=workers,
            accumulate=accumulate,
            settings=loaded,
            on_step=show_step,
            on_epoch=lambda row: print_status(on, _epoch_line(row)),
        )
    if as_json:
        print(json.dumps({**result.scores, "epochs": result.rows, "output": output}))
    else:
        print_scores(dict(result.scores), as_json=False)
        print(output)


def _epoch_line(row: dict[str, float]) -> str:
    figures = ", ".join(f"{name} {row[key]:.4f}" for name, key in (("F1", "f1"), ("P", "precision"), ("R", "recall")))
    return f"epoch {row['epoch']:g}: {figures}, loss {row['loss']:.4f}; training loss {row['training_loss']:.4f}"


def _read_corpora(training: TrainingFile, names: Mapping[str, str], labels: Sequence[str]) -> tuple["Corpus", "Corpus"]:
    """The training and the development corpus, which may be a share of the former.

    names, labels: as in `select_labels`, for both
    """
    from craft_ray.training.corpora import select_labels, split

    if training.dev_share is not None and training.dev is not None:
        raise SettingsError("--dev and --dev-share both name the development corpus: give one of them")
    corpus = _read_corpus(training.require("train"), training.train_ids)
    if training.dev_share is None:
        corpora = corpus, _read_corpus(training.require("dev"), training.dev_ids)
    else:
        corpora = split(corpus, training.dev_share, training.recipe.seed)
    if names or labels:
        both = select_labels([sentence for one in corpora for sentence in one.sentences], names, labels)
        count = len(corpora[0].sentences)
        corpora = replace(corpora[0], sentences=both[:count]), replace(corpora[1], sentences=both[count:])
    return corpora


def _read_auxiliary(auxiliary: str | Auxiliary) -> tuple[Auxiliary, list["GoldDocument"]]:
    """An auxiliary corpus and its documents.

    Raises SettingsError if it cannot be read or lacks a label that it is to teach.
    """
    from craft_ray.training.gold import read_documents

    own = Auxiliary(corpus=auxiliary) if isinstance(auxiliary, str) else auxiliary
    documents = read_documents(own.corpus)
    known = {mention.label for document in documents for mention in document.mentions}
    if unknown := set(own.labels) - known:
        raise SettingsError(f"{own.corpus} has no label {min(unknown)}: it has {', '.join(sorted(known))}")
    return own, documents


def _auxiliary_corpus(
    auxiliary: Auxiliary,
    documents: Sequence["GoldDocument"],
    labels: Sequence[str],
    tagger: Callable[[str], "Tagger"],
) -> "Corpus":
    """The sentences of an auxiliary corpus, with the main corpus's names of labels that mean the same.

    labels: those of the main corpus
    tagger: loads the model that adds silver mentions
    """
    from craft_ray.core.schema import document_of
    from craft_ray.training.corpora import to_sentences, with_silver

    if auxiliary.silver is None:
        return _corpus_of(auxiliary.corpus, to_sentences(documents)).renamed(auxiliary.labels)
    found = tagger(auxiliary.silver).tag_documents([document_of(d.doc_id, d.text) for d in documents])
    corpus = _corpus_of(auxiliary.corpus, to_sentences(with_silver(documents, auxiliary.labels, found, labels)))
    return replace(corpus, shared=corpus.labels)


def _read_corpus(path: str, ids: str | None = None) -> "Corpus":
    from craft_ray.training.gold import read_sentences

    return _corpus_of(path, read_sentences(path, ids))


def _corpus_of(path: str, sentences: list["Sentence"]) -> "Corpus":
    """A corpus named by the last two parts of its path."""
    from craft_ray.training.corpora import Corpus

    return Corpus("/".join(Path(path).resolve().parts[-2:]), sentences)
