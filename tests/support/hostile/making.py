"""Makers of shards: records of each format, archives, gzip bombs, and small valid files."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from craft_ray.readers import limits

OK = "annotated"
TEXT = "Pax6 is expressed in the mouse eye."


@dataclass(frozen=True)
class Case:
    """A shard, and the status or reason of each of its rows by id."""

    name: str
    content: bytes | Callable[[], bytes]
    outcome: dict[str, str]

    def make(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content()

    def expected(self, shard: str) -> dict[str, str]:
        return {doc_id.replace("@", shard): status for doc_id, status in self.outcome.items()}


def line(doc_id: Any, text: Any = TEXT, **more: Any) -> bytes:
    return json.dumps({"id": doc_id, "text": text} | more).encode() + b"\n"


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def bomb(begin: bytes, filling: bytes, end: bytes = b"", size: int | None = None) -> bytes:
    """Gzip of `begin`, at least `size` bytes of filling, and `end`. The default size exceeds a reader's limit."""
    block = filling * ((1 << 20) // len(filling))
    count = -(-(limits.MAX_DOCUMENT_BYTES + (1 << 20) if size is None else size) // len(block))
    return packed(begin) + packed(block) * count + packed(end)


def bomb_member(name: str, type: bytes) -> bytes:
    """Gzip of an archive with a member that is too large, and a small one."""
    size = limits.MAX_DOCUMENT_BYTES + (1 << 20)
    return bomb(header(name, type, size), b"0", tar(("after.txt", TEXT.encode())))


def tar(*entries: tuple[str, bytes] | tarfile.TarInfo, end: bool = True) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                member = tarfile.TarInfo(entry[0])
                member.size = len(entry[1])
                archive.addfile(member, io.BytesIO(entry[1]))
        size = archive.offset
    return sink.getvalue() if end else sink.getvalue()[:size]


def member(name: str, type: bytes, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = type, target
    return made


def header(name: str, type: bytes, size: int, real_size: int | None = None) -> bytes:
    """A header block with a size that may be false; `real_size` makes it an old GNU sparse file."""
    made = member(name, type)
    made.size = size
    block = bytearray(made.tobuf(tarfile.GNU_FORMAT))
    if real_size is not None:
        block[386:398], block[398:410] = b"%011o\x00" % 0, b"%011o\x00" % size
        block[483:495] = b"%011o\x00" % real_size
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\x00 " % sum(block)
    return bytes(block)


def parquet(store_schema: bool = True, **columns: Any) -> bytes:
    """A Parquet file. Without Arrow's schema, dictionaries are read as plain columns."""
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, store_schema=store_schema)
    return sink.getvalue()


def not_utf8(values: list[bytes]) -> pa.Array:
    """A text column with invalid bytes."""
    binary = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), binary.buffers())


def citation(pmid: str, title: str = TEXT) -> str:
    return (
        f"<PubmedArticle><MedlineCitation><PMID>{pmid}</PMID><Article><ArticleTitle>{title}</ArticleTitle></Article>"
        "</MedlineCitation></PubmedArticle>"
    )


def pubmed(*content: str) -> bytes:
    return f"<PubmedArticleSet>{''.join(content)}</PubmedArticleSet>".encode()


def article(body: str, before: str = "", name: str = "article") -> bytes:
    return f"{before}<{name}><body>{body}</body></{name}>".encode()


def bioc(*documents: str) -> bytes:
    return f"<collection><source/>{''.join(documents)}</collection>".encode()


def bioc_document(doc_id: str, offset: str = "0") -> str:
    return f"<document><id>{doc_id}</id><passage><offset>{offset}</offset><text>{TEXT}</text></passage></document>"


def bioc_json(*documents: Any) -> bytes:
    return json.dumps({"documents": documents}).encode()


def passages(doc_id: Any, **more: Any) -> dict[str, Any]:
    return {"id": doc_id, "passages": [{"offset": 0, "text": TEXT, "infons": {}} | more]}


GOOD: dict[str, bytes] = {
    "pubmed": pubmed(citation("1"), "<DeleteCitation><PMID>2</PMID></DeleteCitation>"),
    "jats": article(f"<sec><title>Methods</title><p>{TEXT} &alpha; <xref ref-type='bibr'>1</xref></p></sec>"),
    "bioc": bioc(bioc_document("1")),
    "bioc-json": bioc_json(passages("1"), passages("2", infons={"type": "title", "year": "2020"})),
    "pubtator": f"1|t|{TEXT}\n1|a|Again.\n1\t0\t4\tPax6\tGene\t5080\n".encode(),
    "medline": f"PMID- 1\nTI  - {TEXT}\nAB  - Again,\n      and again.\n\nPMID- 2\nTT  - Mice.\nDP  - 2020\n".encode(),
    "csv": f'pmid,title,abstract\n1,"{TEXT}",Again\n2,,"a ""b"" c"\n'.encode(),
    "jsonl": line("a") + line("b", year=2020, source=["x", 1.5, None]),
    "parquet": parquet(id=["a", None], text=[TEXT, "x"], year=[2020, None], score=[0.5, float("nan")]),
    "text": TEXT.encode(),
    "bits": f"<book-part><book-part-meta/><body><p>{TEXT}</p><book-part/></body><back/></book-part>".encode(),
    "europepmc": f"<responseWrapper><result><pmid>1</pmid><title>{TEXT}</title></result></responseWrapper>".encode(),
    "grobid": (
        "<TEI><teiHeader><application ident='GROBID'/><fileDesc><titleStmt><title>Pax6</title></titleStmt></fileDesc>"
        f"</teiHeader><text><body><div><head>Methods</head><p>{TEXT}</p></div></body><back/></text></TEI>"
    ).encode(),
    "gzip": packed(line("a")) + packed(line("b")),
    "tar": tar(("a.txt", TEXT.encode()), ("b.jsonl", line("b")), member("c.txt", tarfile.SYMTYPE, "a.txt")),
}
"""A small valid shard of each format and wrapping."""


def note(reason: str, *annotated: str) -> dict[str, str]:
    """The outcome of a shard that breaks after some documents."""
    return dict.fromkeys(annotated, OK) | {"@#unreadable": reason}
