"""brat standoff (https://brat.nlplab.org/standoff.html): a tar archive a shard, with a folder that brat can open.

In it are NAME.txt (the text, byte for byte) and NAME.ann for each document, `annotation.conf`, and `documents.tsv` with
the id that each NAME stands for. Offsets count code points. A mention that holds line breaks or tabs is written in
several pieces, as brat asks for. The score is the note of its entity, and its concept a normalization (`N`).
"""

import hashlib
import re
import tarfile

from craft_ray.core.schema import Entity
from craft_ray.export.formats.record import TABS_AND_BREAKS, Collection, Format, Record, Written

_PLAIN = re.compile(r"(?:[A-Z]+:)?[A-Za-z0-9][A-Za-z0-9.-]*")
_LONGEST = 100
_NO_LABEL = re.compile(r"[^\w-]+")
_BLOCK = tarfile.BLOCKSIZE


class Brat:
    """A folder of texts and annotations, as a tar archive."""

    def __init__(self, collection: Collection) -> None:
        self._folder = collection.name
        self._labels = collection.labels
        self._names: list[str] = []

    def begin(self) -> bytes:
        """The configuration file that names the labels."""
        entities = "\n".join(sorted({_label(label) for label in self._labels}))
        return self._member("annotation.conf", f"[entities]\n{entities}\n[relations]\n[events]\n[attributes]\n")

    def add(self, record: Record) -> Written:
        """Both files of one document."""
        name = file_name(record.doc_id)
        self._names.append(f"{name}\t{TABS_AND_BREAKS.sub(' ', record.doc_id)}\n")
        lines = [line for number, entity in enumerate(record.entities, 1) for line in _lines(number, entity)]
        members = self._member(f"{name}.txt", record.text or "") + self._member(f"{name}.ann", "".join(lines))
        return Written(members, len(record.entities))

    def end(self) -> bytes:
        """The list of names with their document ids, and the end of the archive."""
        return self._member("documents.tsv", "".join(["name\tdoc_id\n", *self._names])) + bytes(2 * _BLOCK)

    def _member(self, name: str, text: str) -> bytes:
        content = text.encode()
        head = tarfile.TarInfo(f"{self._folder}/{name}")
        head.size = len(content)
        return head.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % _BLOCK)


def file_name(doc_id: str) -> str:
    """A name for a document's files that any file system holds; no two ids have one.

    >>> file_name("PMID:123")
    'PMID_123'
    """
    if _PLAIN.fullmatch(doc_id) and len(doc_id) <= _LONGEST:
        return doc_id.replace(":", "_")
    plain = re.sub(r"[^A-Za-z0-9.-]", "_", doc_id)[:_LONGEST].lstrip(".-") or "_"
    return f"{plain}__{hashlib.blake2s(doc_id.encode(), digest_size=8).hexdigest()}"


def _lines(number: int, entity: Entity) -> tuple[str, ...]:
    pieces = _pieces(entity.mention)
    spans = ";".join(f"{entity.start + start} {entity.start + end}" for start, end in pieces)
    mention = TABS_AND_BREAKS.sub(" ", " ".join(entity.mention[start:end] for start, end in pieces))
    lines = (
        f"T{number}\t{_label(entity.label)} {spans}\t{mention}\n",
        f"#{number}\tAnnotatorNotes T{number}\tscore {entity.score}\n",
    )
    if entity.concept_id is None:
        return lines
    name = TABS_AND_BREAKS.sub(" ", entity.concept_name or entity.concept_id)
    return (*lines, f"N{number}\tReference T{number} {TABS_AND_BREAKS.sub(' ', entity.concept_id)}\t{name}\n")


def _pieces(mention: str) -> list[tuple[int, int]]:
    """The parts of a mention that hold no line break and no tab; the whole where there is nothing else in it."""
    pieces, start = [], 0
    for found in TABS_AND_BREAKS.finditer(mention):
        pieces.append((start, found.start()))
        start = found.end()
    pieces.append((start, len(mention)))
    return [piece for piece in pieces if piece[0] < piece[1]] or [(0, len(mention))]


def _label(label: str) -> str:
    return _NO_LABEL.sub("_", label)


FORMAT = Format(Brat, ".tar")
