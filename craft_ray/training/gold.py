"""Read a gold corpus of any format, as documents or as sentences, with mentions."""

from collections.abc import Mapping, Sequence
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
    if path.is_dir() and texts_folder(path) is not None:
        return read_craft(path, ids)
    if ids is not None:
        raise SettingsError(f"a list of articles goes with a folder of CRAFT, which {path} is not")
    documents = read_standoff(path) or _read_iob_documents(path)
    labels = sorted({mention.label for document in documents for mention in document.mentions})
    return select_labels(documents, dict(zip(labels, canonical_tags(labels), strict=True)))


def read_corpora(files: Sequence[str], names: Mapping[str, str]) -> dict[str, list[GoldDocument]]:
    """Read several corpora as `read_documents` does, by the last two parts of their paths.

    names: new name of each label to rename, in the corpora that have it
    """
    corpora = {}
    for file in files:
        documents = read_documents(file)
        present = {mention.label for document in documents for mention in document.mentions}
        renamed = {old: new for old, new in names.items() if old in present}
        corpora["/".join(Path(file).parts[-2:])] = select_labels(documents, renamed)
    return corpora


def read_sentences(path: str | Path, ids: str | Path | None = None) -> list[Sentence]:
    """Read a corpus of the same formats as `read_documents`, as sentences."""
    return to_sentences(read_documents(path, ids))


def _read_iob_documents(path: Path) -> list[GoldDocument]:
    files = sorted(path.glob("*.tsv")) if path.is_dir() else [path]
    if not files:
        raise SettingsError(
            f"{path} has no corpus: no texts of CRAFT (articles/txt or txt), brat's .ann or IOB's .tsv files"
        )
    sentences = enumerate((sentence for file in files for sentence in read_iob(file)), 1)
    return [GoldDocument(f"{path.name}#{n}", one.text, one.mentions, is_sentence=True) for n, one in sentences]
