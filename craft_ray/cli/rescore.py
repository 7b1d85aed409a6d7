"""`craft-ray rescore`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from craft_ray.cli.console import add_row, console
from craft_ray.cli.evaluate import score_table
from craft_ray.cli.options import Json, SettingsFile

EXAMPLES = """Example:

    craft-ray rescore model --craft CRAFT --ids dev-ids.txt --lexicon lexicon-of-the-others
"""


def rescore(
    model: Annotated[str, typer.Argument(help="Folder of a checkpoint, whose config.json is changed.")],
    craft: Annotated[str, typer.Option(help="Folder of the CRAFT corpus as released.")],
    ids: Annotated[str, typer.Option(help="Articles that the model has not learned, one PubMed id per line.")],
    lexicon: Annotated[
        str, typer.Option(help="Lexicon of `craft-ray concepts build`, made without these articles.", metavar="FILE")
    ],
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
    from craft_ray.training.rescoring import fit_rescoring

    chosen = load_settings(settings)
    words = read_lexicon(Storage.of(chosen), lexicon)
    grounder = Grounder(words, shipped_scores(words.prefixes, words.has_corpus), prefixes_by_label(chosen))
    tagger = Tagger(load_checkpoint(model), "fp32", grounder)
    rescoring, report = fit_rescoring(tagger.tag_documents, read_craft(craft, ids))
    update_config(Path(model), rescoring=rescoring.as_json())
    if as_json:
        print(json.dumps(report | {"rescoring": rescoring.as_json()}))
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    table = score_table("characters", "", "P", "R", "F1", "calibration error")
    for length, row in report["lengths"].items():
        for name, ece in zip(("before", "after"), row["ece"], strict=True):
            metrics = (f"{row[name][metric]:.4f}" for metric in ("precision", "recall", "f1"))
            add_row(table, length, name, *metrics, f"{ece:.4f}")
    console().print(table)
