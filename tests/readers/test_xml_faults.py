"""A fault in XML or in its compression costs what stands after it, and no document before it."""

import gzip
import io

import pytest

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Document
from craft_ray.readers import read_shard
from tests.support.reading import only

RECORDS = 5000

FORMATS = {
    "pubmed": (
        "<PubmedArticleSet>\n",
        "<MedlineCitation><PMID>{number}</PMID><Article><ArticleTitle>Mice{fault}</ArticleTitle></Article>"
        "</MedlineCitation>\n",
        "</PubmedArticleSet>",
    ),
    "bioc": (
        "<collection>\n",
        "<document><id>{number}</id><passage><offset>0</offset><text>Mice{fault}</text></passage></document>\n",
        "</collection>",
    ),
    "europepmc": (
        "<responseWrapper><resultList>\n",
        "<result><pmid>{number}</pmid><title>Mice{fault}</title></result>\n",
        "</resultList></responseWrapper>",
    ),
    "jats": (
        "<pmc-articleset>\n",
        "<article><front><article-meta><article-id pub-id-type='pmid'>{number}</article-id></article-meta></front>"
        "<body><p>Mice{fault}</p></body></article>\n",
        "</pmc-articleset>",
    ),
    "grobid": (
        "<corpus>\n",
        "<TEI><teiHeader><encodingDesc><appInfo><application ident='GROBID'/></appInfo></encodingDesc></teiHeader>"
        "<text><body><p>{number} Mice{fault}</p></body></text></TEI>\n",
        "</corpus>",
    ),
    "bits": (
        "<book-part-wrapper>\n",
        "<book-part><book-part-meta/><body><p>{number} Mice{fault}</p></body></book-part>\n",
        "</book-part-wrapper>",
    ),
}
"""Start, record and end of a file of each format."""

FAULTS = {"stray": b" < ", "entity": b" &nowhere; ", "encoding": b" \xff "}

POSITIONS = (0, 1, 2, 5, 51, 506, 2507, 4999)


def faulty(format: str, kind: str, position: int) -> bytes:
    """A file of 5,000 records in which the one at a position, counted from 0, is the first that cannot be read."""
    start, record, end = (part.encode() for part in FORMATS[format])
    records = [record.replace(b"{number}", b"%d" % (number + 1)).replace(b"{fault}", b"") for number in range(RECORDS)]
    if kind in FAULTS:
        records[position] = record.replace(b"{number}", b"0").replace(b"{fault}", FAULTS[kind])
        return start + b"".join(records) + end
    before = start + b"".join(records[:position]) + records[position][:-20]
    if kind == "truncated":
        return before
    if kind == "truncated gzip":
        # A whole flush ends the bytes of `before`, so that they can be decompressed without what follows.
        content = io.BytesIO()
        with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as file:
            file.write(before)
            file.flush()
            length = content.tell()
            file.write(b"".join(records[position:]) + end)
        return content.getvalue()[:length]
    whole = gzip.compress(before, mtime=0)
    return whole[:-8] + b"\0\0\0\0" + whole[-4:]  # its checksum


def documents_and_faults(content: bytes, format: str) -> tuple[list[Document], list[str]]:
    found: list[Document] = []
    faults: list[str] = []
    try:
        for item in read_shard(io.BytesIO(content), f"x.{format}.xml"):
            assert isinstance(item, Document), item
            found.append(item)
    except ShardError as error:
        faults.append(error.reason)
    return found, faults


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("kind", [*FAULTS, "truncated", "truncated gzip", "checksum"])
@pytest.mark.parametrize("format", FORMATS)
def test_exactly_the_records_before_a_fault_are_read(format: str, kind: str, position: int):
    found, faults = documents_and_faults(faulty(format, kind, position), format)
    if kind == "entity" and format in ("jats", "grobid", "bits"):
        assert (len(found), faults) == (RECORDS, [])
        assert "&nowhere;" in found[position].text
        return
    assert len(found) == position
    assert [f"{number + 1}" for number in range(position)] == [
        document.doc_id.removeprefix("PMID:") if format not in ("grobid", "bits") else document.text.split()[0]
        for document in found
    ]
    assert faults == ["bad_gzip" if kind in ("truncated gzip", "checksum") else "bad_xml"]


@pytest.mark.parametrize(
    "prolog",
    [
        "",
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- <!DOCTYPE x> -->\n',
        "\ufeff<?xml version='1.0'?>",
        "<!DOCTYPE article>",
        '<!DOCTYPE article [<!ENTITY a "b">]>',
        '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS" "JATS.dtd">',
    ],
)
def test_a_publishers_entity_keeps_its_name(prolog: str, caplog: pytest.LogCaptureFixture):
    article = f"{prolog}<article><body><p>Mice &fdg; &alpha; &bgr; rats.</p></body></article>"
    document = only(article, "x.nxml")
    assert document.text == "Mice &fdg; α β rats."
    assert document.metadata["unknown_entities"] == ["fdg"]
    (record,) = caplog.records
    assert (record.levelname, record.document, record.entities) == ("WARNING", "x.nxml", ["fdg"])
