"""`craft-ray evaluate tokens` and `evaluate documents`, `quantize`, `rescore` and `publish`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.table import Table

from craft_ray.cli.console import add_row, console
from craft_ray.cli.options import GroundedOnly, Json, Map, MinScore, ModelOption, SettingsFile, label_pairs
from craft_ray.cli.rows import Csv, print_rows
from craft_ray.core.errors import SettingsError

if TYPE_CHECKING:
    from craft_ray.concepts.grounding import Grounder
    from craft_ray.core.settings import Settings
    from craft_ray.model.checkpoint import Checkpoint

EXAMPLES = {
    "rescore": ("craft-ray rescore model --craft CRAFT --ids dev-ids.txt --lexicon lexicon-of-the-others",),
}

Seen = Annotated[
    str | None,
    typer.Option(
        "--train",
        help="Corpus that the model was trained on, to score seen and unseen mentions apart.",
        show_default="the mentions that the checkpoint lists",
    ),
]

PrecisionOption = Annotated[
    str, typer.Option(help="fp32, bf16, int8, or auto: as `annotate` runs it on this machine.", metavar="FORMAT")
]


Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="Use only this label; repeatable.", show_default="all that the corpus has"),
]


def evaluate_tokens(
    gold: Annotated[str, typer.Option(help="Gold corpus, in any form of `evaluate documents`.")],
    model: ModelOption = None,
    train: Seen = None,
    precision: PrecisionOption = "auto",
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Score a model on the words of a gold corpus: mentions as seqeval counts them, accuracy and loss over words."""
    from craft_ray.training.gold import read_sentences

    sentences = read_sentences(gold)  # before what takes seconds to import

    from craft_ray.core.settings import load_settings
    from craft_ray.model.inference import Model
    from craft_ray.model.loading import load_checkpoint
    from craft_ray.storage.storage import Storage
    from craft_ray.training.corpora import corpus_keys
    from craft_ray.training.evaluation import evaluate_tokens as run

    seen = corpus_keys(read_sentences(train)) if train else None
    chosen = load_settings(settings, model=model)
    checkpoint = load_checkpoint(chosen.model, Storage.of(chosen).fetch)
    loaded = Model.of(checkpoint, cast(Any, precision), engine=chosen.engine)
    print_scores(run(checkpoint, sentences, loaded, seen), as_json)


def evaluate_documents(
    gold: Annotated[
        str | None,
        typer.Option(
            help="Gold corpus: PubTator, BioC, brat, IOB, CRAFT as released, or JSON of annotation tools.",
            metavar="PATH",
        ),
    ] = None,
    craft: Annotated[
        str | None, typer.Option(help="The same, of CRAFT as released: texts and Knowtator XML.", metavar="FOLDER")
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="Articles to score, one PubMed id per line.", show_default="all of the folder")
    ] = None,
    model: ModelOption = None,
    train: Seen = None,
    concepts: Annotated[
        bool, typer.Option("--concepts", help="Score the ids of concepts too, by the lexicon of --lexicon.")
    ] = False,
    lexicon: Annotated[
        str | None,
        typer.Option(
            help="Lexicon of `craft-ray concepts build`, made without the articles to score.",
            metavar="FILE",
            show_default="the one that ships, which has strings of all CRAFT articles and of other corpora",
        ),
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="List each mention that was missed or invented, with its context.")
    ] = False,
    names: Map = None,
    label: Labels = None,
    min_score: MinScore = None,
    grounded_only: GroundedOnly = None,
    precision: PrecisionOption = "auto",
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Score the whole annotation path on raw articles against standoff mentions: exact span and label.

    Mentions are scored and left out as `annotate` does. Predictions of labels that the corpus does not have do not
    count. `relaxed` counts a mention that overlaps one of the same label. With `--concepts`, the ids are scored too:
    exact span and id, and the measure of the CRAFT shared task of 2019.
    """
    from craft_ray.training.corpora import select_labels
    from craft_ray.training.craft import read_craft
    from craft_ray.training.gold import read_documents, read_sentences

    if as_csv and not errors:
        raise SettingsError("--csv goes with --errors, which it lists; --json prints the scores")
    if (gold is None) == (craft is None):
        raise SettingsError("give the corpus to score: --gold PATH, or --craft FOLDER")
    documents = read_craft(craft, ids) if craft else read_documents(str(gold), ids)
    if names or label:
        documents = select_labels(documents, label_pairs(names or []), label or [])

    from craft_ray.annotation.tagger import Tagger
    from craft_ray.core.settings import load_settings
    from craft_ray.model.inference import Model
    from craft_ray.training.corpora import corpus_keys
    from craft_ray.training.end_to_end import evaluate_concepts
    from craft_ray.training.evaluation import evaluate_documents as run

    chosen = load_settings(settings, model=model, min_score=min_score, grounded_only=grounded_only)
    checkpoint, grounder = _load_model(lexicon, chosen)
    if concepts:
        if grounder is None:
            raise SettingsError("concepts are switched off by the settings, so there are no ids to score")
        tagger = Tagger(checkpoint, cast(Any, precision), grounder, engine=chosen.engine)
        print_concept_scores(evaluate_concepts(tagger.tag_documents, grounder.lexicon, documents), as_json)
        return
    seen = corpus_keys(read_sentences(train)) if train else None
    loaded = Model.of(checkpoint, cast(Any, precision), engine=chosen.engine)
    scores, wrong = run(checkpoint, documents, loaded, seen, grounder)
    if errors:
        print_rows(wrong.to_reader(), "csv" if as_csv else "json lines" if as_json else "table")
    if not as_csv:
        print_scores(scores, as_json)


def _load_model(lexicon: str | None, settings: "Settings") -> "tuple[Checkpoint, Grounder | None]":
    """The model of the settings, and a grounder with `lexicon` or the one that ships; None if concepts are off."""
    from craft_ray.concepts.lexicon_files import SHIPPED, read_lexicon
    from craft_ray.concepts.loading import make_grounder
    from craft_ray.core.logs import log
    from craft_ray.model.loading import load_checkpoint
    from craft_ray.storage.storage import Storage

    storage = Storage.of(settings)
    checkpoint = load_checkpoint(settings.model, storage.fetch)
    words = read_lexicon(storage, lexicon or str(SHIPPED)) if settings.concepts else None
    grounder = make_grounder(settings, words, checkpoint.tags.names, checkpoint.rescoring, checkpoint.descriptions)
    if lexicon is None and grounder and (grounder.grounded_only or grounder.rescoring):
        log.warning("the shipped lexicon has strings of CRAFT and of six other corpora, so scores on them are too high")
    return checkpoint.with_candidates() if grounder else checkpoint, grounder


def print_concept_scores(scores: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(scores))
        return
    table = score_table(
        "",
        "span P",
        "span R",
        "span F1",
        "span and id F1",
        "official F1",
        "SER",
        "without id",
        "linked",
        "no equivalent",
        "genes",
        "mentions",
    )
    for label, row in [*scores["per_label"].items(), ("all", scores)]:
        span, task = row["span"], row.get("shared_task")
        figures = [span["precision"], span["recall"], span["f1"], row["id"]["f1"]]
        others = [task["f1"], task["ser"], row["without_id"], row["linked"]] if task else []
        cells = [f"{figure:.4f}" for figure in (*figures, *others)]
        cells += [f"{row['no_equivalent']:,}"] if task else [""] * 5
        cells.append(f"{row['genes']:.4f}" if task else "")
        add_row(table, label, *cells, f"{span['support']:,}")
    console().print(table)


def print_scores(scores: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(scores))
        return
    table = score_table("", "precision", "recall", "f1", "mentions")
    parts = [(f"{part} in training", scores[part]) for part in ("seen", "unseen") if scores[part]]
    if "relaxed" in scores:
        parts.append(("all, relaxed", scores["relaxed"]["all"] | {"support": scores["support"]}))
    for name, row in [*scores["per_label"].items(), *parts, ("all", scores)]:
        figures = (f"{row[figure]:.4f}" for figure in ("precision", "recall", "f1"))
        add_row(table, name, *figures, f"{row['support']:,}")
    columns = list(next(iter(scores["confusion"].values())))
    confusion = score_table("", *columns, title="what became of the mentions of each label")
    for name, cells in scores["confusion"].items():
        add_row(confusion, name, *(f"{cells[column]:,}" if column in cells else "" for column in columns))
    line = f"accuracy {scores['accuracy']:.4f}, loss {scores['loss']:.4f}, calibration error {scores['ece']:.4f}"
    if "discontinuous" in scores:
        line += f", {scores['discontinuous']:,} mentions in several pieces left out"
    if scores.get("left_out"):
        line += f", {scores['left_out']:,} predictions left out as less sure"
    for part in (table, confusion, line):
        console().print(part)


def quantize(
    model: Annotated[str, typer.Argument(help="Folder of a checkpoint, whose config.json is changed.")],
    text: Annotated[str, typer.Option(help="IOB file, or folder of CRAFT, to measure the ranges of layers on.")],
    dev: Annotated[str, typer.Option(help="Development set on which F1 may fall by no more than 0.002.")],
    as_json: Json = False,
) -> None:
    """Let a checkpoint run in int8 on a CPU, if that does no harm. `train` does this for its checkpoints."""
    from craft_ray.core.errors import RunError
    from craft_ray.model.loading import load_checkpoint
    from craft_ray.training.gold import read_sentences
    from craft_ray.training.quantization import MAX_F1_LOSS, quantized

    result = quantized(load_checkpoint(model), read_sentences(text), read_sentences(dev))
    exact, int8 = result.exact["f1"], result.int8["f1"]
    if not result.harmless:
        raise RunError(f"F1 falls from {exact:.4f} to {int8:.4f}, by more than {MAX_F1_LOSS}: {model} is not changed")
    result.write(Path(model))
    print(json.dumps({"f1": exact, "f1_int8": int8}) if as_json else f"F1 {exact:.4f}, in int8 {int8:.4f}")


def publish(
    model: Annotated[str, typer.Argument(help="Name of a model that ships, or folder of a checkpoint.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the copy.")],
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Write weights in half precision, which transformers opens.")
    ] = False,
) -> None:
    """Copy a checkpoint with its weights in 8 bits, half the size of fp16, or with `--fp16` for transformers.

    Only craft_ray opens the former, for all commands and in any number format.
    """
    from craft_ray.model.loading import find_model, load_checkpoint
    from craft_ray.model.weights import write_copy

    load_checkpoint(model)
    try:
        written = write_copy(Path(find_model(model)), folder, pack=not fp16)
    except OSError as error:
        raise SettingsError(f"cannot copy the model {model} to {folder}: {error.strerror or error}") from error
    print(f"{written} {written.stat().st_size / 1e6:.1f} MB")


def rescore(
    model: Annotated[str, typer.Argument(help="Folder of a checkpoint, whose config.json is changed.")],
    craft: Annotated[str, typer.Option(help="Folder of the CRAFT corpus as released.")],
    ids: Annotated[str, typer.Option(help="Articles that the model has not learned, one PubMed id per line.")],
    lexicon: Annotated[
        str, typer.Option(help="Lexicon of `craft-ray concepts build`, made without these articles.", metavar="FILE")
    ],
    less_likely: Annotated[
        list[str] | None,
        typer.Option(
            help="Label whose less likely mentions are scored too, if F1 rises; repeatable. For labels that the model "
            "knows from this corpus alone.",
            metavar="LABEL",
            show_default="none",
        ),
    ] = None,
    gold: Annotated[
        list[str] | None,
        typer.Option(help="Another corpus, on which the thresholds should hold too; repeatable.", metavar="PATH"),
    ] = None,
    names: Map = None,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Fit how a model's mentions are scored by the lexicon and their whole document.

    Figures are cross-validated over the articles. A model without this fit keeps the network's scores.
    """
    from craft_ray.annotation.tagger import Tagger
    from craft_ray.concepts.grounding import Grounder
    from craft_ray.concepts.lexicon_files import read_lexicon
    from craft_ray.concepts.loading import prefixes_by_label
    from craft_ray.concepts.scores import shipped_scores
    from craft_ray.core.settings import load_settings
    from craft_ray.model.checkpoint import update_config
    from craft_ray.model.loading import load_checkpoint
    from craft_ray.storage.storage import Storage
    from craft_ray.training.craft import read_craft
    from craft_ray.training.gold import read_corpora
    from craft_ray.training.rescoring import Tag, fit_rescoring

    others = read_corpora(gold or (), label_pairs(names or []))
    chosen = load_settings(settings)
    words = read_lexicon(Storage.of(chosen), lexicon)
    grounder = Grounder(words, shipped_scores(words.prefixes, words.has_corpus), prefixes_by_label(chosen))
    checkpoint = load_checkpoint(model)

    def tagger(odds: float) -> Tag:
        with_candidates = checkpoint.with_candidates(dict.fromkeys(checkpoint.tags.names, odds))
        return Tagger(with_candidates, "fp32", grounder).tag_documents

    rescoring, report = fit_rescoring(tagger, read_craft(craft, ids), less_likely or (), others)
    update_config(Path(model), rescoring=rescoring.as_json())
    if as_json:
        print(json.dumps(report | {"rescoring": rescoring.as_json()}))
    else:
        _print_rescoring(report)


def _print_rescoring(report: dict[str, Any]) -> None:
    table = score_table("characters", "", "P", "R", "F1", "calibration error")
    for length, row in report["lengths"].items():
        for name, ece in zip(("before", "after"), row["ece"], strict=True):
            metrics = (f"{row[name][metric]:.4f}" for metric in ("precision", "recall", "f1"))
            add_row(table, length, name, *metrics, f"{ece:.4f}")
    console().print(table)


def score_table(*columns: str, title: str | None = None) -> Table:
    """A table without lines whose unnamed columns are words, and the others numbers."""
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for name in columns:
        table.add_column(name, justify="right" if name else "left")
    return table
