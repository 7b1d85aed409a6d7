"""Inputs that mean harm, or look like it: a maker each, and what must become of what it makes.

In ids `@` stands for the name of the shard. Every shard has all of its rows listed, so a good document that is lost
with the bad ones around it, or a bad one that leaves no trace, fails as much as a wrong reason.
"""

import gzip
import io
import json
import random
import struct
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from craft_ray.readers import limits

OK = "annotated"
TEXT = "Pax6 is expressed in the mouse eye."


@dataclass(frozen=True)
class Case:
    """A shard of the corpus, and the status or reason of each of its rows by id."""

    name: str
    make: Callable[[], bytes]
    outcome: dict[str, str]

    def expected(self, shard: str) -> dict[str, str]:
        return {doc_id.replace("@", shard): status for doc_id, status in self.outcome.items()}


def line(doc_id: Any, text: Any = TEXT, **more: Any) -> bytes:
    return json.dumps({"id": doc_id, "text": text} | more).encode() + b"\n"


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def bomb(begin: bytes, filling: bytes, end: bytes = b"", size: int | None = None) -> bytes:
    """Gzip of `begin`, at least `size` bytes of filling and `end`; gzip's members may follow each other.

    The size is a little more than a reader holds of one document, if none is given.
    """
    block = filling * ((1 << 20) // len(filling))
    count = -(-(limits.LARGEST + (1 << 20) if size is None else size) // len(block))
    return packed(begin) + packed(block) * count + packed(end)


def bomb_member(name: str, type: bytes) -> bytes:
    """Gzip of an archive with one member that is too large and one that is not."""
    size = limits.LARGEST + (1 << 20)
    return bomb(header(name, type, size), b"0", tar(("after.txt", TEXT.encode())))


def tar(*entries: tuple[str, bytes] | tarfile.TarInfo, end: bool = True) -> bytes:
    """An archive of files, and of members without content."""
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
    """A header block of its own, with a size that need not be true; `real_size` is that of an old GNU sparse file."""
    made = member(name, type)
    made.size = size
    block = bytearray(made.tobuf(tarfile.GNU_FORMAT))
    if real_size is not None:
        block[386:398], block[398:410] = b"%011o\x00" % 0, b"%011o\x00" % size
        block[483:495] = b"%011o\x00" % real_size
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\x00 " % sum(block)
    return bytes(block)


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def not_utf8(values: list[bytes]) -> pa.Array:
    """A column of text whose bytes nobody has looked at."""
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
    "gzip": packed(line("a")) + packed(line("b")),
    "tar": tar(("a.txt", TEXT.encode()), ("b.jsonl", line("b")), member("c.txt", tarfile.SYMTYPE, "a.txt")),
}
"""A small shard of each format and wrapping, with nothing wrong about it."""

LAUGHS = "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
BILLION = f'<!DOCTYPE article [<!ENTITY a "aaaaaaaaaa">{LAUGHS}]>'
"""An entity `j` of ten billion letters."""

SQL = "') OR 1=1; DROP TABLE documents; --"
IDS = [
    "a/b/../../c",
    "it's",
    'so "quoted"',
    "back\\slash\\' OR doc_id LIKE '%",
    "nul\x00nul",
    "new\nline\r\ttab",
    SQL,
    "100%_",
    "\u202eid\u0301 \U0001f9ec",
    " ",
    "'",
    "''",
    "x" * 1000,
]
"""Ids that are no harm if nobody reads them as anything else."""


def cases(long: bool = False) -> list[Case]:
    """All of the corpus; `long` has the largest inputs at full size."""
    made = [*_wrapped(), *_bombs(), *_encodings(), *_json(), *_xml(), *_columns(), *_identifiers(), *_sizes(long)]
    assert len({case.name for case in made}) == len(made)
    return made


def _wrapped() -> Iterator[Case]:
    cut = packed(line("second"))
    yield Case("gz-cut.jsonl.gz", lambda: packed(line("cut-1")) + cut[: len(cut) // 2], _note("bad_gzip", "cut-1"))
    yield Case("gz-no-end.jsonl.gz", lambda: packed(line("no-end"))[:-8], _note("bad_gzip", "no-end"))
    yield Case("gz-sum.jsonl.gz", lambda: packed(line("sum"))[:-8] + bytes(8), _note("bad_gzip", "sum"))
    yield Case("gz-and-more.jsonl.gz", lambda: packed(line("more")) + b"more", _note("bad_gzip", "more"))
    yield Case("gz-cut.xml.gz", lambda: packed(pubmed(citation("11"), citation("12")))[:-60], _note("bad_gzip"))
    yield Case("gz-twice.xml.gz", lambda: packed(packed(pubmed())), _note("unknown_format"))
    yield Case("gz-head.xml.gz", lambda: b"\x1f\x8b", _note("bad_gzip"))
    yield Case("no-gz.jsonl.gz", lambda: line("no-gz"), {"no-gz": OK})
    yield Case("gz-in.xml", lambda: packed(pubmed(citation("13"))), {"PMID:13": OK})
    yield Case("zip.xml", lambda: b"PK\x03\x04" + bytes(60), _note("unknown_format"))
    yield Case("pdf.txt", lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", _note("unknown_format"))
    yield Case("text.parquet", lambda: TEXT.encode(), _note("bad_record"))
    yield Case("parquet.txt", lambda: GOOD["parquet"].replace(b"PAR1", b"PAR2"), {"@": "bad_encoding"})
    yield Case("parquet.jsonl", lambda: parquet(id=["as-jsonl"], text=[TEXT]), {"as-jsonl": OK})
    for name, outcome in {
        "xml": _note("unknown_format"),
        "json": _note("unknown_format"),
        "nxml": _note("bad_xml"),
        "jsonl": _note("no_documents"),
        "pubtator": _note("no_documents"),
        "txt": {"@": "empty_text"},
        "parquet": _note("bad_record"),
        "tar": _note("unknown_format"),
        "xml.gz": _note("unknown_format"),
    }.items():
        yield Case(f"empty.{name}", lambda: b"", outcome)
    yield Case("empty-gz.xml.gz", lambda: packed(b""), _note("unknown_format"))

    one, two = ("one.txt", TEXT.encode()), ("two.txt", b"Mice.")
    whole = tar(one, two)
    yield Case("tar-cut.tar", lambda: whole[: whole.index(b"Mice.") + 2], _note("bad_archive", "@!one.txt"))
    yield Case("tar-no-end.tar", lambda: tar(one, two, end=False), _note("bad_archive", "@!one.txt", "@!two.txt"))
    yield Case("tar-half-header.tar", lambda: whole[: 1024 + 100], _note("bad_archive", "@!one.txt"))
    yield Case(
        "tar-garbage.tar", lambda: tar(one, end=False) + b"garbage " * 64 + tar(two), _note("bad_archive", "@!one.txt")
    )
    yield Case("tar-two.tar", lambda: tar(one) + tar(two), _note("bad_archive", "@!one.txt"))
    yield Case(
        "tar-latin1.tar",
        lambda: header("caf\udce9.txt", tarfile.REGTYPE, 5) + b"Mice.".ljust(512, b"\0") + tar(one),
        {"@#item-0": "bad_encoding", "@!one.txt": OK},
    )
    yield Case("tar-empty.tar", lambda: bytes(10240), _note("unknown_format"))
    yield Case("tar-gz-cut.tar.gz", lambda: packed(whole)[:-10], _note("bad_gzip", "@!one.txt", "@!two.txt"))
    yield Case(
        "tar-paths.tar",
        lambda: tar(("/etc/passwd.txt", b"Mice."), ("../../up.txt", b"Mice."), ("a/./b.txt", b"Mice.")),
        {"@!/etc/passwd.txt": OK, "@!../../up.txt": OK, "@!a/./b.txt": OK},
    )
    links = {
        "hard.txt": tarfile.LNKTYPE,
        "soft.txt": tarfile.SYMTYPE,
        "tty.txt": tarfile.CHRTYPE,
        "disk.txt": tarfile.BLKTYPE,
        "pipe.txt": tarfile.FIFOTYPE,
    }
    yield Case(
        "tar-links.tar",
        lambda: tar(*(member(name, type, "/etc/passwd") for name, type in links.items()), one),
        {f"@!{name}": "bad_archive" for name in links} | {"@!one.txt": OK},
    )
    yield Case(
        "tar-sparse.tar",
        lambda: header("holes.txt", tarfile.GNUTYPE_SPARSE, 512, 1 << 32) + bytes(512) + tar(one),
        {"@!holes.txt": "bad_archive", "@!one.txt": OK},
    )
    yield Case(
        "tar-huge.tar",
        lambda: tar(one, end=False) + header("huge.txt", tarfile.REGTYPE, 1 << 40) + b"not so huge",
        _note("bad_archive", "@!one.txt") | {"@!huge.txt": "too_large"},
    )
    yield Case(
        "tar-negative.tar", lambda: header("less.txt", tarfile.REGTYPE, -512) + bytes(1024), _note("bad_archive")
    )
    yield Case(
        "tar-broken-member.tar",
        lambda: tar(
            ("half.nxml", b"<article><p>"),
            ("gz.jsonl.gz", packed(line("in-gz"))),
            ("cut.jsonl.gz", cut[: len(cut) // 2]),
            ("what.xml", b"<html/>"),
            ("inner.tar", whole),
            ("notes.md", b"no input"),
            one,
        ),
        {
            "@!half.nxml#unreadable": "bad_xml",
            "in-gz": OK,
            "@!cut.jsonl.gz#unreadable": "bad_gzip",
            "@!what.xml#unreadable": "unknown_format",
            "@!inner.tar#unreadable": "unknown_format",
            "@!one.txt": OK,
        },
    )
    yield Case("tar-twice.tar", lambda: tar(one, one), {"@!one.txt": OK, "@#item-1": "duplicate_id"})
    yield Case(
        "tar-names.tar",
        lambda: tar(("n" * (1 << 20) + ".txt", b"Mice."), one),
        {"@#item-0": "bad_record", "@!one.txt": OK},
    )


def _bombs() -> Iterator[Case]:
    yield Case("bomb.txt.gz", lambda: bomb(b"", b"0"), _note("too_large"))
    yield Case("bomb-nul.txt.gz", lambda: bomb(b"", b"\0"), _note("too_large"))
    yield Case(
        "bomb-line.jsonl.gz",
        lambda: bomb(line("before-bomb") + b'{"id": "bomb", "text": "', b"0", b'"}\n' + line("after-bomb")),
        {"before-bomb": OK, "@#2": "too_large", "after-bomb": OK},
    )
    yield Case(
        "bomb-lists.jsonl.gz",
        lambda: bomb(
            b'{"id": "bomb", "text": "x", "more": [0', b",[]", b"]}\n" + line("after-lists"), limits.LARGEST // 8
        ),
        {"@#1": "too_large", "after-lists": OK},
    )
    yield Case(
        "bomb-line.pubtator.gz",
        lambda: bomb(b"21|t|", b"0", f"\n22|t|{TEXT}\n".encode()),
        {"@#0": "too_large", "PMID:22": OK},
    )
    yield Case("bomb-text.nxml.gz", lambda: bomb(b"<article><body><p>", b"0"), _note("bad_xml"))
    yield Case(
        "bomb-elements.xml.gz",
        lambda: bomb(pubmed(citation("23"))[:-19], b"<x/>", size=limits.LARGEST // 4),
        _note("too_large", "PMID:23"),
    )
    yield Case("bomb-attribute.nxml.gz", lambda: bomb(b"<article a='", b"0"), _note("too_large"))
    yield Case("bomb-comment.nxml.gz", lambda: bomb(b"<article><!--", b"0"), _note("too_large"))
    yield Case(
        "bomb-string.json.gz",
        lambda: bomb(bioc_json(passages("before-string"))[:-2] + b', {"id": "', b"0"),
        _note("too_large", "before-string"),
    )
    yield Case(
        "bomb-lists.json.gz",
        lambda: bomb(b'{"documents": [{"id": "x", "passages": [', b"[],", size=limits.LARGEST // 8),
        _note("too_large"),
    )
    yield Case(
        "bomb-member.tar",
        lambda: tar(("zeros.txt.gz", bomb(b"", b"0")), ("after.txt", TEXT.encode())),
        {"@!zeros.txt.gz#unreadable": "too_large", "@!after.txt": OK},
    )
    yield Case(
        "bomb-large-member.tar.gz",
        lambda: bomb_member("zeros.txt", tarfile.REGTYPE),
        {"@!zeros.txt": "too_large", "@!after.txt": OK},
    )
    yield Case(
        "bomb-video.tar.gz",
        lambda: bomb_member("film.mp4", tarfile.REGTYPE),
        {"@!after.txt": OK},
    )
    yield Case("bomb-pax.tar.gz", lambda: bomb_member("x", tarfile.XHDTYPE), _note("too_large"))
    yield Case(
        "bomb-long-name.tar.gz",
        lambda: bomb_member("x", tarfile.GNUTYPE_LONGNAME),
        _note("too_large"),
    )


def _encodings() -> Iterator[Case]:
    yield Case("utf16.txt", lambda: TEXT.encode("utf-16"), {"@": "bad_encoding"})
    yield Case("utf16.xml", lambda: pubmed(citation("31")).decode().encode("utf-16"), {"PMID:31": OK})
    yield Case("utf16.nxml", lambda: article(f"<p>{TEXT}</p>").decode().encode("utf-16"), {"@": OK})
    yield Case("utf16.jsonl", lambda: line("x").decode().encode("utf-16-le"), _note("bad_json"))
    yield Case("latin1.txt", lambda: "Müller".encode("latin-1"), {"@": "bad_encoding"})
    yield Case("cut-character.txt", lambda: "Mäuse é".encode()[:-1], {"@": "bad_encoding"})
    yield Case("overlong.txt", lambda: b"mice \xc0\xaf", {"@": "bad_encoding"})
    yield Case("surrogate.txt", lambda: b"mice \xed\xa0\x80", {"@": "bad_encoding"})
    yield Case("nul.txt", lambda: b"mice\0\0 and Pax6\0", {"@": OK})
    yield Case("controls.txt", lambda: bytes(range(32)) + b" Pax6 \x7f", {"@": OK})
    yield Case("bidi.txt", lambda: "\u202ePax6\u202c \u2067mice\u2069 \u200f".encode(), {"@": OK})
    yield Case("combining.txt", lambda: ("P\u0301\u0302\u0303ax6 " + "\u0301" * 10_000 + " mice").encode(), {"@": OK})
    yield Case("astral.txt", lambda: "\U0001f9ec Pax6 \U0010ffff \U0001f468\u200d\U0001f469 mice".encode(), {"@": OK})
    yield Case("bom.jsonl", lambda: b"\xef\xbb\xbf" + line("bom"), {"bom": OK})
    yield Case(
        "encodings.jsonl",
        lambda: line("e1") + b'{"id": "e2", "text": "\xff"}\n' + line("e3", "\ud800") + line("\udfff") + line("e5"),
        {"e1": OK, "@#2": "bad_encoding", "e3": "bad_encoding", "@#item-3": "bad_encoding", "e5": OK},
    )
    yield Case(
        "surrogates.jsonl",
        lambda: line("s1", title="\ud800") + line("s2", source=["\udc00"]) + line("s3", **{"\udc00": 1}) + line("s4"),
        {"s1": "bad_encoding", "s2": "bad_encoding", "s3": "bad_encoding", "s4": OK},
    )
    yield Case(
        "surrogate-section.json",
        lambda: bioc_json(passages("section-1", infons={"type": "\ud800"}), passages("section-2")),
        {"section-1": OK, "section-2": OK},  # yajl reads a question mark
    )
    yield Case(
        "encodings.pubtator",
        lambda: f"41|t|{TEXT}\n42|t|".encode() + b"\xff\n" + f"43|t|{TEXT}\n".encode(),
        {"PMID:41": OK, "PMID:42": "bad_encoding", "PMID:43": OK},
    )
    for number, (name, wrong) in enumerate({"utf8": b"\xff", "nul": b"\0", "surrogate": b"&#xD800;"}.items(), 44):
        content = pubmed(citation(str(number)), citation("0", "WRONG"))
        yield Case(
            f"{name}.xml",
            lambda content=content, wrong=wrong: content.replace(b"WRONG", wrong),
            _note("bad_xml", f"PMID:{number}"),
        )
    yield Case("no-such-encoding.nxml", lambda: article("", '<?xml version="1.0" encoding="x"?>'), _note("bad_xml"))


def _json() -> Iterator[Case]:
    digits = "9" * 5000
    yield Case(
        "types.jsonl",
        lambda: b"".join(
            [
                *(b"[1]\n", b"1\n", b'"text"\n', b"null\n", b"{}\n", b"\n"),
                *(line([1]), line({}), line(True), line(1.5), line(None), line(-7), line("")),
                *(line("t1", 1), line("t2", ["x"]), line("t3", {}), line("t4", None)),
                *(line("t5", title=[1], year="2020"), line("t6", year=True), line("t7", year=10**30)),
            ]
        ),
        {f"@#{number}": "bad_record" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10)}
        | {"@#11": OK, "-7": OK, "@#13": OK}
        | {f"t{number}": "bad_record" for number in (1, 2, 3, 4)}
        | {"t5": OK, "t6": OK, "t7": OK},
    )
    yield Case(
        "numbers.jsonl",
        lambda: b"".join(
            f'{{"id": "n{number}", "text": "mice", "more": {value}}}\n'.encode()
            for number, value in enumerate(
                ["NaN", "[Infinity]", "-Infinity", "1e999", "[-1e999]", digits, "1e-999", "7"]
            )
        ),
        {f"@#{number}": "bad_json" for number in (1, 2, 3, 6)} | {f"n{number}": OK for number in (3, 4, 6, 7)},
    )
    yield Case(
        "deep.jsonl",
        lambda: (
            b"".join(
                f'{{"id": "d{depth}", "text": "mice", "more": {"[" * depth}{"]" * depth}}}\n'.encode()
                for depth in (50, 300, 100_000)
            )
            + line("d0")
        ),
        {"d50": OK, "d300": "bad_record", "@#3": "bad_json", "d0": OK},
    )
    yield Case("half.jsonl", lambda: line("half-1") + line("half-2")[:-9], {"half-1": OK, "@#2": "bad_json"})
    yield Case("no-documents.json", lambda: b'{"source": {"documents": []}}', _note("bad_record"))
    yield Case("prose.json", lambda: b"{not JSON at all", _note("bad_json"))
    yield Case(
        "types.json",
        lambda: bioc_json(
            *(1, "x", None, [], {}, {"passages": 1}, {"passages": [1]}, passages("b7", infons=[1])),
            *(passages("b8", text=[1]), passages("b9", text=5), passages("b10", text=None), passages(["b11"])),
            *(passages("b12", offset="9" * 5000), passages("b13", offset=[1]), passages("b14", offset=-5)),
            *(passages("b15", infons={"type": {"a": 1}, "year": [1]}), passages(16), passages(None)),
        ),
        {f"@#{number}": "bad_record" for number in (*range(10), 11)}
        | {f"b{number}": OK for number in (12, 13, 14, 15)}
        | {"b10": "empty_text"}
        | {"16": OK, "@#17": OK},
    )
    for name, value in {"nan": "NaN", "infinity": "1e999", "digits": digits}.items():
        documents = bioc_json(passages(f"before-{name}"), passages("x", offset="WRONG"))
        yield Case(
            f"{name}.json",
            lambda documents=documents, value=value: documents.replace(b'"WRONG"', value.encode()),
            _note("bad_json", f"before-{name}"),
        )
    yield Case(
        "deep.json",
        lambda: (
            b'{"documents": [{"id": "x", "passages": [{"text": "mice"}], "infons": {"type": '
            + b"[" * 100_000
            + b"]" * 100_000
            + b"}}, "
            + bioc_json(passages("after-deep"))[15:]
        ),
        {"x": "bad_record", "after-deep": OK},
    )


def _xml() -> Iterator[Case]:
    yield Case("laughs.nxml", lambda: article("<p>&j;</p>", BILLION), _note("bad_xml"))
    yield Case("laughs-attribute.nxml", lambda: article("<p a='&j;'>mice</p>", BILLION), _note("bad_xml"))
    yield Case(
        "laughs-parameter.nxml",
        lambda: article("<p>&x;</p>", "<!DOCTYPE article [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]>"),
        {"@": OK},
    )
    yield Case(
        "external.nxml",
        lambda: article("<p>mice &x;</p>", "<!DOCTYPE article [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"),
        {"@": OK},
    )
    yield Case("deep.nxml", lambda: article("<sec>" * 5000 + "</sec>" * 5000), _note("bad_xml"))
    yield Case("deep-list.nxml", lambda: article("<list><p>mice" * 120 + "</p></list>" * 120), {"@": OK})
    yield Case(
        "deep-titles.nxml",
        lambda: article(f"<sec><title>{'long ' * 2_000}</title>" * 40 + "<p>mice</p>" + "</sec>" * 40),
        {"@": OK},
    )
    yield Case(
        "citations.nxml",
        lambda: article("<p>mice" + "<xref ref-type='bibr'/>" * 200_000 + "</p>"),
        {"@": OK},
    )
    yield Case("half.xml", lambda: pubmed(citation("51"), citation("52"))[:-80], _note("bad_xml", "PMID:51"))
    yield Case("page.xml", lambda: b"<!DOCTYPE html><html><body>an article</body></html>", _note("unknown_format"))
    yield Case("prefix.nxml", lambda: article("<a:p>mice</a:p>"), _note("bad_xml", "@"))
    yield Case(
        "no-abstract.xml",
        lambda: pubmed(citation("53"), citation("54", ""), "<PubmedArticle/>", citation(""), citation("55")),
        {"PMID:53": OK, "PMID:54": "empty_text", "@#2": "bad_record", "@#3": "bad_record", "PMID:55": OK},
    )
    yield Case(
        "no-article.xml",
        lambda: pubmed(
            "<PubmedArticle><MedlineCitation><PMID>56</PMID></MedlineCitation></PubmedArticle>",
            "<DeleteCitation><PMID/><PMID>57</PMID></DeleteCitation>",
            citation("58").replace("<PMID>", f"<PMID Version='{'9' * 5000}'>"),
        ),
        {"PMID:56": "bad_record", "@#1": "bad_record", "PMID:57": "deleted", "PMID:58": OK},
    )
    yield Case(
        "offsets.xml",
        lambda: bioc(*(bioc_document(f"o{n}", offset) for n, offset in enumerate(["9" * 5000, "-1", "x", "1e9", ""]))),
        {f"o{number}": OK for number in range(5)},
    )


def _columns() -> Iterator[Case]:
    text = [TEXT, "Mice."]
    yield Case("other.parquet", lambda: parquet(name=["x"], prose=text[:1]), _note("bad_record"))
    yield Case(
        "numbers.parquet", lambda: parquet(id=["p1", "p2"], text=[1, 2]), {"p1": "bad_record", "p2": "bad_record"}
    )
    yield Case(
        "bytes.parquet", lambda: parquet(id=["p3"], text=pa.array([TEXT.encode()], pa.binary())), {"p3": "bad_record"}
    )
    yield Case("floats.parquet", lambda: parquet(id=[1.5, None], text=text), {"@#0": "bad_record", "@#1": OK})
    yield Case(
        "nulls.parquet",
        lambda: parquet(id=[None, "p5", "p6"], text=[TEXT, None, TEXT], year=[None, 2020, None]),
        {"@#0": OK, "p5": "bad_record", "p6": OK},
    )
    yield Case("all-null.parquet", lambda: parquet(id=["p7"], text=pa.nulls(1)), {"p7": "bad_record"})
    yield Case(
        "dictionary.parquet",
        lambda: parquet(id=pa.array(["p8", "p9"]).dictionary_encode(), text=pa.array(text).dictionary_encode()),
        {"p8": OK, "p9": OK},
    )
    yield Case(
        "large.parquet",
        lambda: parquet(id=pa.array(["p10"], pa.large_string()), text=pa.array(text[:1], pa.large_string())),
        {"p10": OK},
    )
    yield Case("view.parquet", lambda: parquet(id=["p11"], text=pa.array(text[:1], pa.string_view())), {"p11": OK})
    yield Case(
        "utf8.parquet",
        lambda: parquet(id=["p12", "p13"], text=not_utf8([b"\xff", b"mice"])),
        {"@#0": "bad_encoding", "p13": OK},
    )
    yield Case(
        "dates.parquet",
        lambda: parquet(id=["p14", "p15"], text=text, when=pa.array([2**62, 0], pa.timestamp("us"))),
        {"@#0": "bad_record", "p15": OK},
    )
    yield Case(
        "metadata.parquet",
        lambda: parquet(
            id=["p16", "p17"],
            text=text,
            score=[float("nan"), float("-inf")],
            vector=[[float("inf")], None],
            raw=[b"\xff\x00", None],
            map=pa.array([[("k", 1), ("k", 2)], None], pa.map_(pa.string(), pa.int64())),
        ),
        {"p16": OK, "p17": OK},
    )
    yield Case(
        "no-rows.parquet",
        lambda: parquet(id=pa.array([], pa.string()), text=pa.array([], pa.string())),
        _note("no_documents"),
    )
    yield Case("cut.parquet", lambda: GOOD["parquet"][:-20], _note("bad_record"))
    yield Case("head.parquet", lambda: b"PAR1" + struct.pack("<i", -1) + b"PAR1", _note("bad_record"))
    yield Case("damaged.parquet", lambda: _damaged(parquet(id=["p18"], text=[TEXT])), _note("bad_record"))
    yield Case("gz.parquet.gz", lambda: packed(parquet(id=["p19"], text=text[:1])), {"p19": OK})


def _damaged(content: bytes) -> bytes:
    """Parquet whose pages are noise and whose footer is whole."""
    return content[:4] + random.Random(7).randbytes(150) + content[154:]


def _identifiers() -> Iterator[Case]:
    yield Case("ids.jsonl", lambda: b"".join(map(line, IDS)), dict.fromkeys(IDS, OK))
    yield Case(
        "bad-ids.jsonl",
        lambda: line("x" * (1 << 20)) + line("x" * 1001, 5) + line("bad-ids.jsonl#unreadable") + line("after-bad-ids"),
        {"@#item-0": "bad_record", "@#item-1": "bad_record", "@#item-2": "bad_record", "after-bad-ids": OK},
    )
    yield Case("id-digits.jsonl", lambda: b'{"id": ' + b"9" * 5000 + b', "text": "x"}\n', _note("bad_json"))
    yield Case(
        "twice.jsonl",
        lambda: line("twice") + line("twice", "another") + line("twice") + line("once"),
        {"twice": OK, "@#item-1": "duplicate_id", "@#item-2": "duplicate_id", "once": OK},
    )
    yield Case("across-1.jsonl", lambda: line("across") + line("across-1"), {"across": OK, "across-1": OK})
    yield Case("across-2.jsonl", lambda: line("across", "another") + line("across-2"), {"across": OK, "across-2": OK})
    yield Case(
        "ids.pubtator",
        lambda: f"61|t|{TEXT}\n61|a|x\n61|t|{TEXT}\n |t|no id\nprose\n62|t|{TEXT}\n".encode(),
        {"PMID:61": OK, "@#item-1": "duplicate_id", "@#4": "bad_record", "@#item-3": "bad_record", "PMID:62": OK},
    )
    yield Case(
        "ids.xml",
        lambda: pubmed(citation("7" * 5000), citation("'; DROP TABLE x; --"), citation("63")),
        {"@#item-0": "bad_record", "PMID:'; DROP TABLE x; --": OK, "PMID:63": OK},
    )


def _sizes(long: bool) -> Iterator[Case]:
    size = 100_000_000 if long else 1_000_000
    yield Case("paragraph.txt", lambda: (f"{TEXT} " * (size // 36)).encode(), {"@": OK})
    yield Case("no-sentence.jsonl", lambda: line("no-sentence", "Pax6 mouse " * 100_000), {"no-sentence": OK})
    table = f"<td>{'mice ' * 20}</td>" * 100_000
    yield Case(
        "large.nxml",
        lambda: article(f"<p>{TEXT}</p><table>{table}</table><p>mice</p>"),
        {"@": OK},
    )
    yield Case("word.txt", lambda: b"x" * 1_000_000 + b" mouse", {"@": OK})
    yield Case("word-of-hyphens.txt", lambda: b"x-" * 100_000, {"@": OK})
    yield Case("paragraph.nxml", lambda: article(f"<p>{TEXT * 400_000}</p>"), _note("bad_xml"))  # libxml2 holds 10 MB


def _note(reason: str, *annotated: str) -> dict[str, str]:
    """A shard that breaks after some documents."""
    return dict.fromkeys(annotated, OK) | {"@#unreadable": reason}
