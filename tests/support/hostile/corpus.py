"""Hostile shards, and the outcome of every document in them.

In ids `@` is the name of the shard. All rows of a shard are listed, so a lost good document fails a test as a wrong
reason does.
"""

import random
import struct
from collections.abc import Iterator

import pyarrow as pa

from craft_ray.readers import limits
from tests.support.hostile.containers import bombs, wrapped
from tests.support.hostile.making import (
    GOOD,
    OK,
    TEXT,
    Case,
    article,
    bioc,
    bioc_document,
    bioc_json,
    citation,
    line,
    not_utf8,
    note,
    packed,
    parquet,
    passages,
    pubmed,
)

LAUGHS = "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
BILLION = f'<!DOCTYPE article [<!ENTITY a "aaaaaaaaaa">{LAUGHS}]>'
"""An entity `j` of ten billion letters."""

IDS = [
    *("a/b/../../c", "it's", 'so "quoted"', "back\\slash\\' OR doc_id LIKE '%", "nul\x00nul", "new\nline\r\ttab"),
    *("') OR 1=1; DROP TABLE documents; --", "100%_", "\u202eid\u0301 \U0001f9ec", " ", "'", "''", "x" * 1000),
]
"""Ids that are harmless as long as nothing interprets them."""


def cases(long: bool = False) -> list[Case]:
    """The whole corpus; `long` makes the largest inputs at full size."""
    made = [*wrapped(), *bombs(), *encodings(), *json_values(), *xml(), *columns(), *identifiers(), *sizes(long)]
    assert len({case.name for case in made}) == len(made)
    return made


def encodings() -> Iterator[Case]:
    yield Case("utf16.txt", TEXT.encode("utf-16"), note("bad_encoding"))
    yield Case("utf16.xml", pubmed(citation("31")).decode().encode("utf-16"), {"PMID:31": OK})
    yield Case("utf16.nxml", article(f"<p>{TEXT}</p>").decode().encode("utf-16"), {"@": OK})
    yield Case("utf16.jsonl", line("x").decode().encode("utf-16-le"), note("bad_json"))
    yield Case("latin1.txt", "Müller".encode("latin-1"), {"@": "bad_encoding"})
    yield Case("cut-character.txt", "Mäuse é".encode()[:-1], {"@": "bad_encoding"})
    yield Case("overlong.txt", b"mice \xc0\xaf", {"@": "bad_encoding"})
    yield Case("surrogate.txt", b"mice \xed\xa0\x80", {"@": "bad_encoding"})
    yield Case("nul.txt", b"mice\0\0 and Pax6\0", {"@": "bad_encoding"})
    yield Case("controls.txt", bytes(range(1, 32)) + b" Pax6 \x7f", {"@": OK})
    yield Case("bidi.txt", "\u202ePax6\u202c \u2067mice\u2069 \u200f".encode(), {"@": OK})
    yield Case("combining.txt", ("P\u0301\u0302\u0303ax6 " + "\u0301" * 10_000 + " mice").encode(), {"@": OK})
    yield Case("astral.txt", "\U0001f9ec Pax6 \U0010ffff \U0001f468\u200d\U0001f469 mice".encode(), {"@": OK})
    yield Case("bom.jsonl", b"\xef\xbb\xbf" + line("bom"), {"bom": OK})
    yield Case(
        "encodings.jsonl",
        line("e1") + b'{"id": "e2", "text": "\xff"}\n' + line("e3", "\ud800") + line("\udfff") + line("e5"),
        {"e1": OK, "@#2": "bad_encoding", "e3": "bad_encoding", "@#item-3": "bad_encoding", "e5": OK},
    )
    yield Case(
        "surrogates.jsonl",
        line("s1", title="\ud800") + line("s2", source=["\udc00"]) + line("s3", **{"\udc00": 1}) + line("s4"),
        {"s1": "bad_encoding", "s2": "bad_encoding", "s3": "bad_encoding", "s4": OK},
    )
    yield Case(
        "surrogate-section.json",
        bioc_json(passages("section-1", infons={"type": "\ud800"}), passages("section-2")),
        {"section-1": "bad_encoding", "section-2": OK},
    )
    yield Case(
        "encodings.pubtator",
        f"41|t|{TEXT}\n42|t|".encode() + b"\xff\n" + f"43|t|{TEXT}\n".encode(),
        {"PMID:41": OK, "PMID:42": "bad_encoding", "PMID:43": OK},
    )
    for number, (name, wrong) in enumerate({"utf8": b"\xff", "nul": b"\0", "surrogate": b"&#xD800;"}.items(), 44):
        content = pubmed(citation(str(number)), citation("0", "WRONG"))
        yield Case(f"{name}.xml", content.replace(b"WRONG", wrong), note("bad_xml", f"PMID:{number}"))
    yield Case("no-such-encoding.nxml", article("", '<?xml version="1.0" encoding="x"?>'), note("bad_xml"))


def json_values() -> Iterator[Case]:
    digits = "9" * 5000
    yield Case(
        "types.jsonl",
        b"".join(
            [
                *(b"[1]\n", b"1\n", b'"text"\n', b"null\n", b"{}\n", b"\n"),
                *(line([1]), line({}), line(True), line(1.5), line(None), line(-7), line("")),
                *(line("t1", 1), line("t2", ["x"]), line("t3", {}), line("t4", None)),
                *(line("t5", title=[1], year="2020"), line("t6", year=True), line("t7", year=10**30)),
            ]
        ),
        {f"@#{number}": "bad_record" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10)}
        | {"@#11": OK, "-7": OK, "@#13": OK}
        | {f"t{number}": "bad_record" for number in (1, 3, 4)}
        | {"t2": OK, "t5": OK, "t6": OK, "t7": OK},
    )
    yield Case(
        "numbers.jsonl",
        b"".join(
            f'{{"id": "n{number}", "text": "mice", "more": {value}}}\n'.encode()
            for number, value in enumerate(
                ["NaN", "[Infinity]", "-Infinity", "1e999", "[-1e999]", digits, "1e-999", "7"]
            )
        ),
        {"@#6": "bad_json"} | {f"n{number}": OK for number in (0, 1, 2, 3, 4, 6, 7)},
    )
    yield Case(
        "deep.jsonl",
        (
            b"".join(
                f'{{"id": "d{depth}", "text": "mice", "more": {"[" * depth}{"]" * depth}}}\n'.encode()
                for depth in (50, 300, 100_000)
            )
            + line("d0")
        ),
        {"d50": OK, "d300": "bad_record", "@#3": "bad_json", "d0": OK},
    )
    yield Case("half.jsonl", line("half-1") + line("half-2")[:-9], {"half-1": OK, "@#2": "bad_json"})
    yield Case("no-documents.json", b'{"source": {"documents": []}}', note("bad_record"))
    yield Case("prose.json", b"{not JSON at all", note("bad_json"))
    yield Case(
        "types.json",
        bioc_json(
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
    for name, value in {"nan": "NaN", "infinity": "1e999", "large": "9" * 30, "digits": digits}.items():
        documents = bioc_json(passages(f"in-{name}", offset="WRONG"), passages(f"after-{name}"))
        outcome = {"@#0": "bad_json"} if name == "digits" else {f"in-{name}": OK}
        yield Case(f"{name}.json", documents.replace(b'"WRONG"', value.encode()), {**outcome, f"after-{name}": OK})
    yield Case(
        "deep.json",
        (
            b'{"documents": [{"id": "x", "passages": [{"text": "mice"}], "infons": {"type": '
            + b"[" * 100_000
            + b"]" * 100_000
            + b"}}, "
            + bioc_json(passages("after-deep"))[15:]
        ),
        {"@#0": "bad_json", "after-deep": OK},
    )


def xml() -> Iterator[Case]:
    yield Case("laughs.nxml", article("<p>&j;</p>", BILLION), note("bad_xml"))
    yield Case("laughs-attribute.nxml", article("<p a='&j;'>mice</p>", BILLION), note("bad_xml"))
    yield Case(
        "laughs-parameter.nxml",
        article("<p>&x;</p>", "<!DOCTYPE article [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]>"),
        {"@": OK},
    )
    yield Case(
        "external.nxml",
        article("<p>mice &x;</p>", "<!DOCTYPE article [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"),
        {"@": OK},
    )
    yield Case("deep.nxml", article("<sec>" * 5000 + "</sec>" * 5000), note("bad_xml"))
    yield Case("deep-list.nxml", article("<list><p>mice" * 120 + "</p></list>" * 120), {"@": OK})
    yield Case(
        "deep-titles.nxml",
        article(f"<sec><title>{'long ' * 2_000}</title>" * 40 + "<p>mice</p>" + "</sec>" * 40),
        {"@": OK},
    )
    yield Case("citations.nxml", article("<p>mice" + "<xref ref-type='bibr'/>" * 200_000 + "</p>"), {"@": OK})
    yield Case("half.xml", pubmed(citation("51"), citation("52"))[:-80], note("bad_xml", "PMID:51"))
    yield Case("page.xml", b"<!DOCTYPE html><html><body>an article</body></html>", note("unknown_format"))
    yield Case("prefix.nxml", article("<a:p>mice</a:p>"), {"@": OK})
    yield Case(
        "no-abstract.xml",
        pubmed(citation("53"), citation("54", ""), "<PubmedArticle/>", citation(""), citation("55")),
        {"PMID:53": OK, "PMID:54": "empty_text", "@#2": "bad_record", "@#3": "bad_record", "PMID:55": OK},
    )
    yield Case(
        "no-article.xml",
        pubmed(
            "<PubmedArticle><MedlineCitation><PMID>56</PMID></MedlineCitation></PubmedArticle>",
            "<DeleteCitation><PMID/><PMID>57</PMID></DeleteCitation>",
            citation("58").replace("<PMID>", f"<PMID Version='{'9' * 5000}'>"),
        ),
        {"PMID:56": "bad_record", "@#1": "bad_record", "PMID:57": "deleted", "PMID:58": OK},
    )
    yield Case(
        "offsets.xml",
        bioc(*(bioc_document(f"o{n}", offset) for n, offset in enumerate(["9" * 5000, "-1", "x", "1e9", ""]))),
        {f"o{number}": OK for number in range(5)},
    )


def columns() -> Iterator[Case]:
    text = [TEXT, "Mice."]
    yield Case("other.parquet", parquet(name=["x"], prose=text[:1]), note("bad_record"))
    yield Case("numbers.parquet", parquet(id=["p1", "p2"], text=[1, 2]), {"p1": "bad_record", "p2": "bad_record"})
    yield Case("bytes.parquet", parquet(id=["p3"], text=pa.array([TEXT.encode()], pa.binary())), {"p3": "bad_record"})
    yield Case("floats.parquet", parquet(id=[1.5, None], text=text), {"@#0": "bad_record", "@#1": OK})
    yield Case(
        "nulls.parquet",
        parquet(id=[None, "p5", "p6"], text=[TEXT, None, TEXT], year=[None, 2020, None]),
        {"@#0": OK, "p5": "bad_record", "p6": OK},
    )
    yield Case("all-null.parquet", parquet(id=["p7"], text=pa.nulls(1)), {"p7": "bad_record"})
    yield Case(
        "dictionary.parquet",
        parquet(id=pa.array(["p8", "p9"]).dictionary_encode(), text=pa.array(text).dictionary_encode()),
        {"p8": OK, "p9": OK},
    )
    yield Case(
        "large.parquet",
        parquet(id=pa.array(["p10"], pa.large_string()), text=pa.array(text[:1], pa.large_string())),
        {"p10": OK},
    )
    yield Case("view.parquet", parquet(id=["p11"], text=pa.array(text[:1], pa.string_view())), {"p11": OK})
    yield Case(
        "utf8.parquet",
        parquet(id=["p12", "p13"], text=not_utf8([b"\xff", b"mice"])),
        {"@#0": "bad_encoding", "p13": OK},
    )
    yield Case(
        "dates.parquet",
        parquet(id=["p14", "p15"], text=text, when=pa.array([2**62, 0], pa.timestamp("us"))),
        {"@#0": "bad_record", "p15": OK},
    )
    yield Case(
        "metadata.parquet",
        parquet(
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
        "no-rows.parquet", parquet(id=pa.array([], pa.string()), text=pa.array([], pa.string())), note("no_documents")
    )
    yield Case("cut.parquet", GOOD["parquet"][:-20], note("bad_record"))
    yield Case("head.parquet", b"PAR1" + struct.pack("<i", -1) + b"PAR1", note("bad_record"))
    yield Case("damaged.parquet", _damaged(parquet(id=["p18"], text=[TEXT])), note("bad_record"))
    yield Case("gz.parquet.gz", packed(parquet(id=["p19"], text=text[:1])), {"p19": OK})


def _damaged(content: bytes) -> bytes:
    """Parquet with an intact footer and random pages."""
    return content[:4] + random.Random(7).randbytes(150) + content[154:]


def identifiers() -> Iterator[Case]:
    yield Case("ids.jsonl", b"".join(map(line, IDS)), dict.fromkeys(IDS, OK))
    yield Case(
        "bad-ids.jsonl",
        line("x" * (1 << 20)) + line("x" * 1001, 5) + line("bad-ids.jsonl#unreadable") + line("after-bad-ids"),
        {"@#item-0": "bad_record", "@#item-1": "bad_record", "@#item-2": "bad_record", "after-bad-ids": OK},
    )
    yield Case("id-digits.jsonl", b'{"id": ' + b"9" * 5000 + b', "text": "x"}\n', note("bad_json"))
    yield Case(
        "twice.jsonl",
        line("twice") + line("twice", "another") + line("twice") + line("once"),
        {"twice": OK, "@#item-1": "duplicate_id", "@#item-2": "duplicate_id", "once": OK},
    )
    yield Case("across-1.jsonl", line("across") + line("across-1"), {"across": OK, "across-1": OK})
    yield Case("across-2.jsonl", line("across", "another") + line("across-2"), {"across": OK, "across-2": OK})
    yield Case(
        "ids.pubtator",
        f"61|t|{TEXT}\n61|a|x\n61|t|{TEXT}\n |t|no id\nprose\n62|t|{TEXT}\n".encode(),
        {"PMID:61": OK, "@#item-1": "duplicate_id", "@#4": "bad_record", "@#item-3": "bad_record", "PMID:62": OK},
    )
    yield Case(
        "ids.xml",
        pubmed(citation("7" * 5000), citation("'; DROP TABLE x; --"), citation("63")),
        {"@#item-0": "bad_record", "PMID:'; DROP TABLE x; --": OK, "PMID:63": OK},
    )


def sizes(long: bool) -> Iterator[Case]:
    size = 6_000_000 if long else 1_000_000
    yield Case("paragraph.txt", lambda: (f"{TEXT} " * (size // 36)).encode(), {"@": OK})
    yield Case("no-sentence.jsonl", lambda: line("no-sentence", "Pax6 mouse " * 100_000), {"no-sentence": OK})
    table = f"<td>{'mice ' * 20}</td>" * 100_000
    yield Case("large.nxml", lambda: article(f"<p>{TEXT}</p><table>{table}</table><p>mice</p>"), {"@": OK})
    yield Case("pieces.txt", lambda: b"a " * 2_100_000, {"@": "too_large"})
    yield Case("lines.nbib", lambda: b"PMID- 71\nTI  - Mice\n" + b"LA- \n" * _many(), note("too_large"))
    yield Case("lines.pubtator", lambda: b"72|t|Mice\n" + b"72|a|\n" * _many(), note("too_large"))
    yield Case(
        "names.txt",
        lambda: f"PMID,Title,{','.join(map(str, range(_many())))}\n73,Mice\n".encode(),
        note("too_large"),
    )
    same = [f"same-{number}" for number in range(256)]
    text = pa.DictionaryArray.from_arrays(pa.array([0] * len(same), pa.int32()), ["a" * 1_000_000])
    yield Case("same.parquet", lambda: parquet(False, id=same, text=text), dict.fromkeys(same, OK))
    yield Case("word.txt", lambda: b"x" * 1_000_000 + b" mouse", {"@": OK})
    yield Case("word-of-hyphens.txt", lambda: b"x-" * 100_000, {"@": OK})
    yield Case("paragraph.nxml", lambda: article(f"<p>{TEXT * 400_000}</p>"), note("bad_xml"))  # libxml2: at most 10 MB


def _many() -> int:
    """Lines or names that are short together, and a record that is too large."""
    return limits.MAX_DOCUMENT_BYTES // 64
