"""Read CRAFT as released: articles as plain text, with mentions in Knowtator XML."""

from pathlib import Path

from lxml import etree

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import LABELS
from craft_ray.training.corpora import Annotation, GoldDocument, gold_document
from craft_ray.training.files import read_text

_ONTOLOGY_FOLDERS = {"Gene": "GO_CC", **{label.name: label.ontology for label in LABELS if label.name != "Gene"}}
"""The folder of each label's mentions. Of GO, the label `Gene` covers cellular components alone."""


def read_craft(folder: str | Path, ids: str | Path | None = None) -> list[GoldDocument]:
    """Read articles of the CRAFT corpus with their mentions.

    folder: a copy of https://github.com/UCDenver-ccp/CRAFT (`articles/txt`, `concept-annotation/PR/PR/knowtator`), or
            its parts as `txt` and `standoff/PR`
    ids:    file of the articles to read, one PubMed id per line; None for all

    Raises SettingsError if the folder is not such a corpus, or an article or its mentions are missing.
    """
    folder = Path(folder)
    if (texts := texts_folder(folder)) is None:
        raise SettingsError(f"{folder} is not a CRAFT corpus: it has neither articles/txt nor txt")
    names = read_text(Path(ids), "the list of articles").split() if ids else sorted(p.stem for p in texts.glob("*.txt"))
    if not names:
        raise SettingsError(f"there are no articles in {ids or texts}")
    documents = []
    for name in names:
        text = read_text(texts / f"{name}.txt", "the article")
        annotations = [a for label in _ONTOLOGY_FOLDERS for a in _read_knowtator(folder, name, label)]
        documents.append(gold_document(folder, name, text, annotations))
    return documents


def texts_folder(folder: Path) -> Path | None:
    """The folder of a CRAFT corpus's texts, or None if `folder` is not a CRAFT corpus."""
    return next((texts for texts in (folder / "articles" / "txt", folder / "txt") if texts.is_dir()), None)


def _read_knowtator(folder: Path, article: str, label: str) -> list[Annotation]:
    ontology = _ONTOLOGY_FOLDERS[label]
    layouts = (
        folder / "concept-annotation" / ontology / ontology / "knowtator" / f"{article}.txt.knowtator.xml",
        folder / "standoff" / ontology / f"{article}.xml",
    )
    if (file := next((path for path in layouts if path.is_file()), None)) is None:
        raise SettingsError(f"the article {article} has no {ontology} mentions in {folder}")
    try:
        root = etree.parse(file, etree.XMLParser(resolve_entities=False, no_network=True)).getroot()
        classes = {
            mention.get("id"): found.get("id")
            for mention in root.iterfind("classMention")
            if (found := mention.find("mentionClass")) is not None
        }
        return [
            Annotation(
                label,
                tuple((int(span.attrib["start"]), int(span.attrib["end"])) for span in annotation.iterfind("span")),
                concept_id=classes.get(mention.get("id"))
                if (mention := annotation.find("mention")) is not None
                else None,
            )
            for annotation in root.iterfind("annotation")
        ]
    except (etree.XMLSyntaxError, KeyError, ValueError) as error:
        raise SettingsError(f"{file} is not Knowtator XML: {error}") from error
