"""Read CRAFT as released: articles as plain text, with mentions in Knowtator XML."""

from pathlib import Path

from lxml import etree

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import LABELS
from craft_ray.training.corpora import Annotation, GoldDocument, gold_documents
from craft_ray.training.files import read_text


def read_craft(folder: str | Path, ids: str | Path | None = None) -> list[GoldDocument]:
    """Read articles of the CRAFT corpus with their mentions of all labels that the folder has.

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
    layers, suffix = _layers(folder)
    corpus = []
    for name in names:
        text = read_text(texts / f"{name}.txt", "the article")
        annotations = [
            annotation
            for label, mentions in layers.items()
            for annotation in _read_knowtator(mentions / f"{name}{suffix}", label)
        ]
        corpus.append((name, text, annotations))
    return gold_documents(folder, corpus)


def texts_folder(folder: Path) -> Path | None:
    """The folder of a CRAFT corpus's texts, or None if `folder` is not a CRAFT corpus."""
    return next((texts for texts in (folder / "articles" / "txt", folder / "txt") if texts.is_dir()), None)


def _layers(folder: Path) -> tuple[dict[str, Path], str]:
    """The folder of each label's mentions, and the suffix of their files."""
    for pattern, suffix in (("concept-annotation/{0}/{0}/knowtator", ".txt.knowtator.xml"), ("standoff/{0}", ".xml")):
        layers = {label.name: folder / pattern.format(label.layer) for label in LABELS}
        if found := {name: path for name, path in layers.items() if path.is_dir()}:
            return found, suffix
    raise SettingsError(f"{folder} has no mentions: neither concept-annotation nor standoff")


def _read_knowtator(file: Path, label: str) -> list[Annotation]:
    if not file.is_file():
        raise SettingsError(f"the mentions of an article are missing: there is no {file}")
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
                spans,
                concept_id=classes.get(mention.get("id"))
                if (mention := annotation.find("mention")) is not None
                else None,
            )
            for annotation in root.iterfind("annotation")
            if (spans := _spans(annotation))
        ]
    except (etree.XMLSyntaxError, KeyError, ValueError) as error:
        raise SettingsError(f"{file} is not Knowtator XML: {error}") from error


def _spans(annotation: etree._Element) -> tuple[tuple[int, int], ...]:
    """Start and end of each part. The release has one empty part, which is left out."""
    spans = ((int(span.attrib["start"]), int(span.attrib["end"])) for span in annotation.iterfind("span"))
    return tuple((start, end) for start, end in spans if start != end)
