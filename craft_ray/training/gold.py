"""Read a gold corpus of any format, as documents or as sentences, with mentions."""

from pathlib import Path

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import canonical_tags
from craft_ray.training.corpora import GoldDocument, Sentence, select_labels, to_sentences
from craft_ray.training.craft import read_craft, texts_folder
from craft_ray.training.iob import read_iob
from craft_ray.training.standoff import read_standoff


def read_documents(path: str | Path, ids: str | Path | None = None) -> list[GoldDocument]:
    """Read CRAFT as released, a standoff corpus, an IOB file, or a folder of IOB files (`*.tsv`), as documents.

    A sentence of IOB becomes a document whose words are joined by blanks: IOB does not keep the original text.

    ids: file of the articles of CRAFT to read

    Raises SettingsError if the path is no corpus, or `ids` is given for anything but CRAFT.
    """
    path = Path(path)
    if (documents := _read_standoff_documents(path, ids)) is not None:
        return documents
    sentences = enumerate(_read_iob_sentences(path), 1)
    return [GoldDocument(f"{path.name}#{number}", one.text, one.mentions) for number, one in sentences]


def read_sentences(path: str | Path, ids: str | Path | None = None) -> list[Sentence]:
    """Read a corpus of the same formats as `read_documents`, as sentences."""
    path = Path(path)
    documents = _read_standoff_documents(path, ids)
    return _read_iob_sentences(path) if documents is None else to_sentences(documents)


def _read_standoff_documents(path: Path, ids: str | Path | None) -> list[GoldDocument] | None:
    """Documents of a corpus with offsets; None if it has to be IOB."""
    if path.is_dir() and texts_folder(path) is not None:
        return read_craft(path, ids)
    if ids is not None:
        raise SettingsError(f"a list of articles goes with a folder of CRAFT, which {path} is not")
    if (documents := read_standoff(path)) is None:
        return None
    labels = sorted({mention.label for document in documents for mention in document.mentions})
    spelling = dict(zip(labels, canonical_tags(labels), strict=True))
    return select_labels(documents, spelling)


def _read_iob_sentences(path: Path) -> list[Sentence]:
    if not path.is_dir():
        return read_iob(path)
    if files := sorted(path.glob("*.tsv")):
        return [sentence for file in files for sentence in read_iob(file)]
    raise SettingsError(
        f"{path} has no corpus: no texts of CRAFT (articles/txt or txt), brat's .ann or IOB's .tsv files"
    )
