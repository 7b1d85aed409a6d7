"""Gold corpora in standoff formats that others use: PubTator, brat, BioC (XML and JSON) and JSON lines.

All count offsets in code points. A mention whose offsets do not give its text is an error, for then all of the corpus's
may be off. Labels are the annotations' types.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from craft_ray.core.errors import SettingsError
from craft_ray.model.tags import Mention
from craft_ray.training.corpora import read_gold
from craft_ray.training.craft import GoldDocument

Annotation = tuple[str, list[tuple[int, int]], str | None]
"""Label, start and end of each piece, and the mention's text if the format repeats it."""


def read_standoff(path: str | Path) -> list[GoldDocument] | None:
    """The documents of a file, or of a brat folder of .txt and .ann files; None if it is in no such format.

    Raises SettingsError if it cannot be read, or a mention is not where it is said to be.
    """
    place = Path(path)
    if place.is_dir():
        return [_brat(place, file) for file in sorted(place.glob("*.ann"))] or None
    read = _FORMATS.get(Path(place.name.removesuffix(".gz")).suffix)
    if read is None:
        return None
    text = read_gold(place, "the corpus")
    try:
        documents = [_document(place, *parts) for parts in read(text)]
    except (json.JSONDecodeError, etree.XMLSyntaxError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"{place} is not in the form that its name says: {str(error).splitlines()[0]}") from error
    if not documents:
        raise SettingsError(f"{place} holds no document")
    return documents


def _document(path: Path, doc_id: str, text: str, annotations: Iterable[Annotation]) -> GoldDocument:
    mentions: set[Mention] = set()
    pieces_of: Counter[str] = Counter()
    for label, pieces, said in annotations:
        for start, end in pieces:
            if not 0 <= start < end <= len(text):
                raise SettingsError(f"{path}: {doc_id} has a mention at {start}-{end}, outside its text")
        if len(pieces) > 1:
            pieces_of[label] += 1
            continue
        ((start, end),) = pieces
        if said is not None and said.split() != text[start:end].split():
            raise SettingsError(f"{path}: {doc_id} has {text[start:end]!r} at {start}-{end}, and not {said!r}")
        mentions.add(Mention(start, end, label))
    return GoldDocument(doc_id, text, tuple(sorted(mentions, key=lambda m: (m.start, m.end, m.label))), dict(pieces_of))


def _brat(folder: Path, file: Path) -> GoldDocument:
    text = read_gold(folder / f"{file.stem}.txt", "the text")
    annotations: list[Annotation] = []
    for line in read_gold(file, "the annotations").split("\n"):
        if match := re.fullmatch(r"T\d+\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)", line):
            pieces = [(int(start), int(end)) for start, end in (p.split() for p in match[2].split(";"))]
            annotations.append((match[1], pieces, match[3]))
    return _document(folder, file.stem, text, annotations)


Parts = tuple[str, str, list[Annotation]]
"""Id, text and annotations of a document."""


def _pubtator(text: str) -> Iterator[Parts]:
    for block in re.split(r"\n\s*\n", text.strip()):
        passages, annotations, doc_id = [], list[Annotation](), ""
        for line in block.split("\n"):
            if match := re.match(r"([^|\t]+)\|[ta]\|(.*)", line):
                doc_id = match[1]
                passages.append(match[2])
            elif len(fields := line.split("\t")) >= 5 and fields[1].isdecimal():
                annotations.append((fields[4], [(int(fields[1]), int(fields[2]))], fields[3]))
        if not passages:
            raise ValueError("a block has neither title nor abstract")
        yield doc_id, "\n".join(passages), annotations


def _json_lines(text: str) -> Iterator[Parts]:
    for line in filter(str.strip, text.split("\n")):
        entry = json.loads(line)
        found = [(e["label"], [(e["start"], e["end"])], e.get("mention")) for e in entry["entities"]]
        yield str(entry.get("id", "?")), entry["text"], found


def _bioc_json(text: str) -> Iterator[Parts]:
    for document in json.loads(text)["documents"]:
        yield _bioc(document["id"], document["passages"])


def _bioc_xml(text: str) -> Iterator[Parts]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    for document in etree.fromstring(text.encode(), parser).iterfind("document"):
        yield _bioc(document.findtext("id", "?"), [_as_json(passage) for passage in document.iterfind("passage")])


def _as_json(passage: Any) -> dict[str, Any]:
    """A passage or sentence of BioC XML as BioC JSON has it."""
    return {
        "offset": int(passage.findtext("offset")),
        "text": passage.findtext("text"),
        "sentences": [_as_json(sentence) for sentence in passage.iterfind("sentence")],
        "annotations": [
            {
                "infons": {infon.get("key"): infon.text for infon in annotation.iterfind("infon")},
                "locations": [dict(location.attrib) for location in annotation.iterfind("location")],
                "text": annotation.findtext("text"),
            }
            for annotation in passage.iterfind("annotation")
        ],
    }


def _bioc(doc_id: str, passages: list[Mapping[str, Any]]) -> Parts:
    """Passages and their sentences at their offsets; what lies between them is blank."""
    text, annotations = "", list[Annotation]()
    for part in (p for passage in passages for p in (passage, *passage.get("sentences", ()))):
        if part.get("text"):
            text = text.ljust(part["offset"])
            text = text[: part["offset"]] + part["text"] + text[part["offset"] + len(part["text"]) :]
        for annotation in part.get("annotations", ()):
            pieces = [(int(p["offset"]), int(p["offset"]) + int(p["length"])) for p in annotation["locations"]]
            annotations.append((annotation["infons"]["type"], pieces, annotation.get("text")))
    return doc_id, text, annotations


_FORMATS: Mapping[str, Callable[[str], Iterator[Parts]]] = {
    ".pubtator": _pubtator,
    ".jsonl": _json_lines,
    ".json": _bioc_json,
    ".xml": _bioc_xml,
}
"""Formats by the suffix of a file's name."""
