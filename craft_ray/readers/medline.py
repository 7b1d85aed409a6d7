"""MEDLINE format, as PubMed's "Save" button and efetch with `rettype=medline` produce it.

https://www.nlm.nih.gov/bsd/mms/medlineelements.html: a field is a tag of up to four letters, a hyphen and a value, and
continues on lines that start with blanks. A citation ends at a blank line or at the next PMID.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.schema import Document, Item, Rejection
from craft_ray.readers.ids import pmid_of
from craft_ray.readers.limits import LINES, Record, bounded_lines, too_large
from craft_ray.readers.reader import Head, Reader, ReadOptions, not_utf8
from craft_ray.readers.text_builder import TextBuilder

_FIELD = re.compile(rb"^([A-Z][A-Z0-9]{1,3}) *- ?(.*)$", re.DOTALL)
_START = re.compile(rb"PMID *- ?\d")

_Fields = list[tuple[str, list[bytes]]]


def read_medline(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document per citation. Raises ShardError (`too_large`) if one does not end."""
    fields: _Fields = []
    number, record = 0, Record(LINES)
    for line in bounded_lines(stream):
        if line is None:
            raise too_large()
        record.add(line)
        content = line.rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf")
        field = _FIELD.match(content)
        if fields and (not content.strip() or (field and field.group(1) == b"PMID")):
            yield _build_document(fields, f"{shard}#{number}")
            fields, number = [], number + 1
            record.reset()
        if field:
            fields.append((field.group(1).decode(), [field.group(2).strip()]))
        elif fields and content.strip():
            fields[-1][1].append(content.strip())
        elif content.strip():
            yield Rejection(f"{shard}#{number}", "bad_record", "a line before the first field")
            number += 1
    if fields:
        yield _build_document(fields, f"{shard}#{number}")


def _build_document(fields: _Fields, fallback_id: str) -> Document | Rejection:
    try:
        values = [(tag, b" ".join(parts).decode("utf-8")) for tag, parts in fields]
    except UnicodeDecodeError as error:
        return Rejection(fallback_id, "bad_encoding", not_utf8(error))
    first = dict(reversed(values))
    doc_id = pmid_of(first.get("PMID", "").split(" ")[0])
    if doc_id is None:
        return Rejection(fallback_id, "bad_record", "a citation without a PMID")
    title = next((first[tag] for tag in ("TI", "BTI", "CTI", "TT") if first.get(tag)), "")
    abstract = first.get("AB") or (first.get("OAB", "") if first.get("OABL", "eng") == "eng" else "")
    builder = TextBuilder()
    builder.add("title", title)
    builder.add("abstract", abstract)
    year = re.match(r"\d{4}", first.get("DP", ""))
    return Document(
        doc_id=doc_id,
        text=builder.text,
        sections=builder.sections,
        title=title or None,
        year=int(year.group()) if year else None,
        journal=first.get("JT") or None,
        metadata={"language": [value for tag, value in values if tag == "LA"]},
    )


def _is_medline(head: Head) -> bool:
    return _START.match(head.start) is not None


READER = Reader("medline", read_medline, suffixes=("nbib",), matches=_is_medline)
