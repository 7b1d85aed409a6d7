"""brat standoff (https://brat.nlplab.org/standoff.html): one tar archive per part, with a folder that brat can open.

The folder has NAME.txt (the text, byte for byte) and NAME.ann for each document, `annotation.conf`, and
`documents.tsv`, which maps each NAME to a document id. Offsets count code points. brat requires that a mention with
line breaks or tabs is written as several fragments. Scores are notes (`#`), concepts are normalizations (`N`).
"""

import hashlib
import re
import tarfile

from craft_ray.core.schema import Entity
from craft_ray.export.formats.record import TABS_AND_BREAKS, Collection, Exporter, Format, Record, Written

_SAFE_ID = re.compile(r"(?:[A-Z]+:)?[A-Za-z0-9][A-Za-z0-9.-]*")
_MAX_LENGTH = 100
_NOT_LABEL = re.compile(r"[^\w-]+")
_BLOCK = tarfile.BLOCKSIZE


class Brat(Exporter):
    def __init__(self, collection: Collection) -> None:
        super().__init__(collection)
        self._names: list[str] = []

    def begin(self) -> bytes:
        entities = "\n".join(sorted({_label(label) for label in self.collection.labels}))
        return self._member("annotation.conf", f"[entities]\n{entities}\n[relations]\n[events]\n[attributes]\n")

    def add(self, record: Record) -> Written:
        name = file_name(record.doc_id)
        self._names.append(f"{name}\t{TABS_AND_BREAKS.sub(' ', record.doc_id)}\n")
        lines = [line for number, entity in enumerate(record.entities, 1) for line in _lines(number, entity)]
        members = self._member(f"{name}.txt", record.text or "") + self._member(f"{name}.ann", "".join(lines))
        return Written(members, len(record.entities))

    def end(self) -> bytes:
        return self._member("documents.tsv", "".join(["name\tdoc_id\n", *self._names])) + bytes(2 * _BLOCK)

    def _member(self, name: str, text: str) -> bytes:
        content = text.encode()
        head = tarfile.TarInfo(f"{self.collection.name}/{name}")
        head.size = len(content)
        return head.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % _BLOCK)


def file_name(doc_id: str) -> str:
    """A unique name for the files of a document, valid in any file system.

    >>> file_name("PMID:123")
    'PMID_123'
    """
    if _SAFE_ID.fullmatch(doc_id) and len(doc_id) <= _MAX_LENGTH:
        return doc_id.replace(":", "_")
    plain = re.sub(r"[^A-Za-z0-9.-]", "_", doc_id)[:_MAX_LENGTH].lstrip(".-") or "_"
    return f"{plain}__{hashlib.blake2s(doc_id.encode(), digest_size=8).hexdigest()}"


def _lines(number: int, entity: Entity) -> tuple[str, ...]:
    fragments = _fragments(entity.mention)
    spans = ";".join(f"{entity.start + start} {entity.start + end}" for start, end in fragments)
    mention = TABS_AND_BREAKS.sub(" ", " ".join(entity.mention[start:end] for start, end in fragments))
    lines = (
        f"T{number}\t{_label(entity.label)} {spans}\t{mention}\n",
        f"#{number}\tAnnotatorNotes T{number}\tscore {entity.score}\n",
    )
    if entity.concept_id is None:
        return lines
    name = TABS_AND_BREAKS.sub(" ", entity.concept_name or entity.concept_id)
    return (*lines, f"N{number}\tReference T{number} {TABS_AND_BREAKS.sub(' ', entity.concept_id)}\t{name}\n")


def _fragments(mention: str) -> list[tuple[int, int]]:
    """Spans of a mention without line breaks and tabs, or the whole mention if it has nothing else."""
    fragments, start = [], 0
    for match in TABS_AND_BREAKS.finditer(mention):
        fragments.append((start, match.start()))
        start = match.end()
    fragments.append((start, len(mention)))
    return [fragment for fragment in fragments if fragment[0] < fragment[1]] or [(0, len(mention))]


def _label(label: str) -> str:
    return _NOT_LABEL.sub("_", label)


FORMAT = Format(Brat, ".tar")
