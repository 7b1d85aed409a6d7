"""Read gold corpora in the standoff formats of others: PubTator, brat, BioC (XML and JSON) and JSON lines.

All of them count offsets in code points. Labels are the types of the annotations.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from craft_ray.core.errors import SettingsError
from craft_ray.training.corpora import Annotation, GoldDocument, Parts, gold_documents
from craft_ray.training.files import read_text


def read_standoff(path: Path) -> list[GoldDocument] | None:
    """Read a file, or a brat folder of .txt and .ann files. Returns None if the name is of no such format.

    Mentions whose offsets do not reproduce their text are left out, with a warning.

    Raises SettingsError if the file cannot be read or parsed, or too many offsets are wrong.
    """
    if path.is_dir():
        return gold_documents(path, [_brat(file) for file in sorted(path.glob("*.ann"))]) or None
    parse = _PARSERS.get(Path(path.name.removesuffix(".gz")).suffix)
    if parse is None:
        return None
    text = read_text(path, "the corpus")
    try:
        documents = gold_documents(path, list(parse(text)))
    except (json.JSONDecodeError, etree.XMLSyntaxError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"{path} is not in the format of its suffix: {str(error).splitlines()[0]}") from error
    if not documents:
        raise SettingsError(f"{path} has no documents")
    return documents


def _brat(file: Path) -> Parts:
    text = read_text(file.with_suffix(".txt"), "the text")
    annotations = []
    for line in read_text(file, "the annotations").split("\n"):
        if match := re.fullmatch(r"T\d+\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)", line):
            pieces = tuple((int(start), int(end)) for start, end in (piece.split() for piece in match[2].split(";")))
            annotations.append(Annotation(match[1], pieces, match[3]))
    return file.stem, text, annotations


def _pubtator(text: str) -> Iterator[Parts]:
    for block in re.split(r"\n\s*\n", text.strip()):
        passages, annotations, doc_id = [], [], ""
        for line in block.split("\n"):
            if match := re.match(r"([^|\t]+)\|[ta]\|(.*)", line):
                doc_id = match[1]
                passages.append(match[2])
            elif len(fields := line.split("\t")) >= 5 and fields[1].isdecimal():
                concept_id = curies(fields[5], fields[4]) if len(fields) > 5 else None
                annotations.append(Annotation(fields[4], ((int(fields[1]), int(fields[2])),), fields[3], concept_id))
        if not passages:
            raise ValueError("a block has neither title nor abstract")
        yield doc_id, "\n".join(passages), annotations


_NUMBERS = {"species": "NCBITaxon", "taxon": "NCBITaxon", "gene": "NCBIGene", "disease": "OMIM"}
"""Prefix of a plain number, by the label that has it."""


def curies(value: str, label: str) -> str | None:
    """The ids of a PubTator annotation as CURIEs, with `|` between them; None if it has none.

    >>> curies("D003110|D009369", "Disease"), curies("9606", "Species"), curies("MESH:C1,-", "Chemical")
    ('MESH:D003110|MESH:D009369', 'NCBITaxon:9606', 'MESH:C1')
    """
    found = []
    for part in map(str.strip, re.split("[|,;+]", value)):
        if re.fullmatch(r"[CD]\d{6,}", part):
            found.append(f"MESH:{part}")
        elif part.isdecimal() and label.casefold() in _NUMBERS:
            found.append(f"{_NUMBERS[label.casefold()]}:{part}")
        elif ":" in part:
            found.append(part)
    return "|".join(found) or None


def _json_lines(text: str) -> Iterator[Parts]:
    for line in filter(str.strip, text.split("\n")):
        entry = json.loads(line)
        annotations = [Annotation(e["label"], ((e["start"], e["end"]),), e.get("mention")) for e in entry["entities"]]
        yield str(entry.get("id", "?")), entry["text"], annotations


def _bioc_json(text: str) -> Iterator[Parts]:
    for document in json.loads(text)["documents"]:
        yield _bioc(document["id"], document["passages"])


def _bioc_xml(text: str) -> Iterator[Parts]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    for document in etree.fromstring(text.encode(), parser).iterfind("document"):
        yield _bioc(document.findtext("id", "?"), [_as_json(passage) for passage in document.iterfind("passage")])


def _as_json(passage: Any) -> dict[str, Any]:
    """A passage or sentence of BioC XML in the structure of BioC JSON."""
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
    """Put passages and their sentences at their offsets, with blanks between them."""
    text, annotations = "", []
    for part in (p for passage in passages for p in (passage, *passage.get("sentences", ()))):
        if part.get("text"):
            text = text.ljust(part["offset"])
            text = text[: part["offset"]] + part["text"] + text[part["offset"] + len(part["text"]) :]
        for annotation in part.get("annotations", ()):
            pieces = tuple((int(p["offset"]), int(p["offset"]) + int(p["length"])) for p in annotation["locations"])
            annotations.append(Annotation(annotation["infons"]["type"], pieces, annotation.get("text")))
    return doc_id, text, annotations


_PARSERS: Mapping[str, Callable[[str], Iterator[Parts]]] = {
    ".pubtator": _pubtator,
    ".jsonl": _json_lines,
    ".json": _bioc_json,
    ".xml": _bioc_xml,
}
"""Parsers by file suffix."""
