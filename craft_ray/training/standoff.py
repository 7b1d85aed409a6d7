"""Read gold corpora in the forms of others: PubTator, brat, BioC, and the JSON and Parquet of annotation tools.

All of them count offsets in code points. Labels are the types of the annotations.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from lxml import etree

from craft_ray.core.errors import SettingsError
from craft_ray.training.corpora import Annotation, GoldDocument, Parts, gold_documents
from craft_ray.training.files import read_text
from craft_ray.training.iob import tagged_sentences


def read_standoff(path: Path) -> list[GoldDocument] | None:
    """Read a file, or a brat folder of .txt and .ann files. Returns None for any other, which may be IOB.

    Mentions whose offsets do not reproduce their text are left out, with a warning.

    Raises SettingsError if the file cannot be read or parsed, or too many offsets are wrong.
    """
    if path.is_dir():
        return gold_documents(path, [_brat(file) for file in sorted(path.glob("*.ann"))]) or None
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    try:
        if suffix == ".parquet":
            return _documents(path, _parquet_records(path))
        text = read_text(path, "the corpus")
        form = _SUFFIXES.get(suffix) or next((name for name, start in _STARTS.items() if start.match(text)), None)
        if form is None:
            return None
        return _documents(path, _json_records(text)) if form == "JSON" else _built(path, _PARSERS[form](text))
    except (OSError, pa.ArrowException, etree.XMLSyntaxError, LookupError, TypeError, ValueError) as error:
        raise SettingsError(f"{path} is no corpus that can be read: {str(error).splitlines()[0]}") from error


def _documents(path: Path, records: Iterable[Any]) -> list[GoldDocument]:
    """The documents of JSON or Parquet: texts with mentions, or lists of words with tags."""
    given = [record for record in records if _is_kept(record)]
    if given and all(isinstance(record, dict) and "tokens" in record for record in given) and _tags_of(given[0]):
        words = [(record["tokens"], _tags_of(record) or []) for record in given]
        sentences = enumerate(tagged_sentences(words), 1)
        return [GoldDocument(f"{path.name}#{n}", one.text, one.mentions, is_sentence=True) for n, one in sentences]
    return _built(path, [parts for n, record in enumerate(given, 1) for parts in _parts(record, f"{path.name}#{n}")])


def _built(path: Path, parts: Iterable[Parts]) -> list[GoldDocument]:
    if documents := gold_documents(path, list(parts)):
        return documents
    raise SettingsError(f"{path} has no documents")


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


def _json_records(text: str) -> list[Any]:
    """The records of one array or object, or of one per line."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    if isinstance(found, list):
        return [found] if found and isinstance(found[0], str) else found  # the only record of spaCy 2
    return found.get("documents", [found])  # type: ignore[no-any-return]


def _parquet_records(path: Path) -> list[Any]:
    """Rows, with the names of tags from the schema that Hugging Face's `datasets` writes."""
    table = pq.read_table(path)
    features = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    names = {key: name for key, feature in features.items() if (name := _class_names(feature))}
    rows = table.to_pylist()
    return [row | {key: [own[tag] for tag in row[key]] for key, own in names.items()} for row in rows]


def _class_names(feature: Any) -> list[str] | None:
    """Names of the numbers in a list of `ClassLabel`, which has its kind in one of two forms."""
    inner = feature[0] if isinstance(feature, list) else feature.get("feature", {})
    return inner.get("names") if isinstance(inner, dict) else None


_TAGS = ("ner_tags", "tags", "labels", "ner")
_MENTIONS = ("entities", "spans", "labels", "label", "denotations", "annotations")
_STARTS_AT = ("start", "start_offset", "begin")
_ENDS_AT = ("end", "end_offset")
_LABEL = ("label", "labels", "type", "obj")
"""Names of what records have, in spaCy, Prodigy, doccano, Label Studio, PubAnnotation and Hugging Face."""

EXPECTED = (
    "expected `text` with mentions as [start, end, label] or objects of these in `entities`, `spans` or `label`, "
    "or `tokens` with `ner_tags`"
)


def _is_kept(record: Any) -> bool:
    """False for what an annotator has rejected (Prodigy) or not annotated (Label Studio)."""
    if not isinstance(record, dict):
        return True
    is_task = isinstance(record.get("data"), dict)
    return record.get("answer", "accept") == "accept" and not (is_task and _result(record) is None)


def _result(task: Mapping[str, Any]) -> list[Any] | None:
    """The mentions of the first annotator of a task of Label Studio; None if nobody has annotated it."""
    given = (one for one in task.get("annotations") or () if isinstance(one, dict) and "result" in one)
    return next((one["result"] for one in given if not one.get("was_cancelled")), None)


def _tags_of(record: Mapping[str, Any]) -> list[str] | None:
    tags = _first(record, _TAGS)
    if not isinstance(tags, list) or any(isinstance(tag, list | dict) for tag in tags):
        return None
    if any(isinstance(tag, int) for tag in tags):
        raise ValueError("its tags are numbers without names: write them as text, such as B-Disease")
    return tags


def _parts(record: Any, name: str) -> Iterator[Parts]:
    """The document of a record, or for BioC of an object with passages."""
    if isinstance(record, list) and len(record) == 2:  # spaCy 2: ["text", {"entities": ...}]
        record = {"text": record[0], **record[1]}
    if not isinstance(record, dict):
        raise ValueError(f"a record is {type(record).__name__}; {EXPECTED}")
    if "passages" in record:
        yield _bioc(record["id"], record["passages"])
        return
    inner = record.get("data")  # Label Studio
    text = _first(inner if isinstance(inner, dict) else record, ("text", "content"))
    mentions = _result(record)
    if mentions is None:
        mentions = _first(record, _MENTIONS)
    if not isinstance(text, str) or not isinstance(mentions, list):
        raise ValueError(f"a record has the keys {', '.join(record)[:200]}; {EXPECTED}")
    doc_id = _first(record, ("id", "doc_id", "pmid", "sourceid"))
    yield str(name if doc_id is None else doc_id), text, [found for one in mentions if (found := _annotation(one))]


def _annotation(value: Any) -> Annotation | None:
    """A mention of a record; None for a result of Label Studio that is none, such as a relation or a choice."""
    surface = None
    if isinstance(value, list):
        start, end, label = value[:3]
    elif not isinstance(value, dict):
        raise ValueError(f"a mention is {json.dumps(value)[:80]}; {EXPECTED}")
    else:
        if "start" not in value.get("value", {"start": 0}) or value.get("type") == "relation":
            return None
        value = value.get("value", value)
        span = value.get("span", value)
        start, end, label = _first(span, _STARTS_AT), _first(span, _ENDS_AT), _first(value, _LABEL)
        surface = _first(value, ("mention", "text"))
    label = label[0] if isinstance(label, list) and label else label
    if not isinstance(label, str) or not isinstance(start, int) or not isinstance(end, int):
        raise ValueError(f"a mention is {json.dumps(value)[:80]}; {EXPECTED}")
    return Annotation(label, ((start, end),), surface)


def _first(record: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _bioc_xml(text: str) -> Iterator[Parts]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    root = etree.fromstring(text.encode(), parser)
    if root.tag != "collection":
        raise ValueError(f"its root is {root.tag}, and not BioC's collection")
    for document in root.iterfind("document"):
        yield _bioc(document.findtext("id", "?"), [_as_json(passage) for passage in document.iterfind("passage")])


def _as_json(passage: Any) -> dict[str, Any]:
    """A passage or sentence of BioC XML in the structure of BioC JSON."""
    if (offset := passage.findtext("offset")) is None:
        raise ValueError(f"a {passage.tag} of BioC has no offset")
    return {
        "offset": int(offset),
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
            if (label := annotation["infons"].get("type")) is None:
                raise ValueError(f"an annotation of BioC has no infon `type`, only {', '.join(annotation['infons'])}")
            annotations.append(Annotation(label, pieces, annotation.get("text")))
    return doc_id, text, annotations


_PARSERS: Mapping[str, Callable[[str], Iterator[Parts]]] = {"PubTator": _pubtator, "BioC": _bioc_xml}

_SUFFIXES = {".pubtator": "PubTator", ".xml": "BioC", ".json": "JSON", ".jsonl": "JSON", ".ndjson": "JSON"}

_STARTS = {
    "PubTator": re.compile(r"\s*[^|\t\n]+\|t\|"),
    "BioC": re.compile(r"\s*<(?:\?xml|!DOCTYPE|collection)"),
    "JSON": re.compile(r"\s*(?:\{\s*\"|\[\s*[\[{])"),
}
"""How a file begins whose suffix does not tell its form."""
