"""Gold corpora: CRAFT in IOB form, as sentences of words with tags."""

from dataclasses import dataclass
from pathlib import Path

from craft_ray.errors import SettingsError
from craft_ray.labels import canonical_tag


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Words and their IOB2 tags (`B-Protein`), of equal number."""

    words: list[str]
    tags: list[str]


def read_iob(path: str | Path) -> list[TaggedSentence]:
    """Read `word<TAB>...<TAB>tag` lines with a blank line between sentences; the tag is the last column.

    Raises SettingsError if the file is missing, has no sentence, or a line has fewer than two columns.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read the corpus {path}: {error.strerror}") from error
    sentences = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        rows = [line.split("\t") for line in block.split("\n") if line.strip()]
        if bad := next((row for row in rows if len(row) < 2), None):
            raise SettingsError(f"{path} is not in IOB form: the line {bad[0][:60]!r} has no tag")
        if rows:
            sentences.append(TaggedSentence([row[0] for row in rows], [canonical_tag(row[-1]) for row in rows]))
    if not sentences:
        raise SettingsError(f"{path} holds no sentence")
    return sentences
