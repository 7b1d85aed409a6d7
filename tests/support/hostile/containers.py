"""Hostile shards whose fault is in the compression or the archive around the documents: cut, damaged, or a bomb."""

import tarfile
from collections.abc import Iterator

from craft_ray.readers import limits
from tests.support.hostile.making import (
    GOOD,
    OK,
    TEXT,
    Case,
    bioc_json,
    bomb,
    bomb_member,
    citation,
    header,
    line,
    member,
    note,
    packed,
    parquet,
    passages,
    pubmed,
    tar,
)


def wrapped() -> Iterator[Case]:
    cut = packed(line("second"))
    yield Case("gz-cut.jsonl.gz", packed(line("cut-1")) + cut[: len(cut) // 2], note("bad_gzip", "cut-1"))
    yield Case("gz-no-end.jsonl.gz", packed(line("no-end"))[:-8], note("bad_gzip", "no-end"))
    yield Case("gz-sum.jsonl.gz", packed(line("sum"))[:-8] + bytes(8), note("bad_gzip", "sum"))
    yield Case("gz-and-more.jsonl.gz", packed(line("more")) + b"more", note("bad_gzip", "more"))
    yield Case("gz-cut.xml.gz", packed(pubmed(citation("11"), citation("12")))[:-60], note("bad_gzip"))
    yield Case("gz-twice.xml.gz", packed(packed(pubmed())), note("unknown_format"))
    yield Case("gz-head.xml.gz", b"\x1f\x8b", note("bad_gzip"))
    yield Case("no-gz.jsonl.gz", line("no-gz"), {"no-gz": OK})
    yield Case("gz-in.xml", packed(pubmed(citation("13"))), {"PMID:13": OK})
    yield Case("zip.xml", b"PK\x03\x04" + bytes(60), note("bad_archive"))
    yield Case("pdf.txt", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", note("unknown_format"))
    yield Case("text.parquet", TEXT.encode(), note("bad_record"))
    yield Case("parquet.txt", GOOD["parquet"].replace(b"PAR1", b"PAR2"), {"@": "bad_encoding"})
    yield Case("parquet.jsonl", parquet(id=["as-jsonl"], text=[TEXT]), {"as-jsonl": OK})
    for name, outcome in {
        "xml": note("unknown_format"),
        "json": note("unknown_format"),
        "nxml": note("bad_xml"),
        "jsonl": note("no_documents"),
        "pubtator": note("no_documents"),
        "txt": {"@": "empty_text"},
        "parquet": note("bad_record"),
        "tar": note("unknown_format"),
        "xml.gz": note("unknown_format"),
    }.items():
        yield Case(f"empty.{name}", b"", outcome)
    yield Case("empty-gz.xml.gz", packed(b""), note("unknown_format"))

    one, two = ("one.txt", TEXT.encode()), ("two.txt", b"Mice.")
    whole = tar(one, two)
    yield Case("tar-cut.tar", whole[: whole.index(b"Mice.") + 2], note("bad_archive", "@!one.txt"))
    yield Case("tar-no-end.tar", tar(one, two, end=False), note("bad_archive", "@!one.txt", "@!two.txt"))
    yield Case("tar-half-header.tar", whole[: 1024 + 100], note("bad_archive", "@!one.txt"))
    yield Case("tar-garbage.tar", tar(one, end=False) + b"garbage " * 64 + tar(two), note("bad_archive", "@!one.txt"))
    yield Case("tar-two.tar", tar(one) + tar(two), note("bad_archive", "@!one.txt"))
    yield Case(
        "tar-latin1.tar",
        header("caf\udce9.txt", tarfile.REGTYPE, 5) + b"Mice.".ljust(512, b"\0") + tar(one),
        {r"@!caf\udce9.txt#item-0.0": "bad_encoding", "@!one.txt": OK},
    )
    yield Case("tar-empty.tar", bytes(10240), note("unknown_format"))
    yield Case("tar-gz-cut.tar.gz", packed(whole)[:-10], note("bad_gzip", "@!one.txt", "@!two.txt"))
    yield Case(
        "tar-paths.tar",
        tar(("/etc/passwd.txt", b"Mice."), ("../../up.txt", b"Mice."), ("a/./b.txt", b"Mice.")),
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
        tar(*(member(name, type, "/etc/passwd") for name, type in links.items()), one),
        {f"@!{name}": "bad_archive" for name in links} | {"@!one.txt": OK},
    )
    yield Case(
        "tar-sparse.tar",
        header("holes.txt", tarfile.GNUTYPE_SPARSE, 512, 1 << 32) + bytes(512) + tar(one),
        {"@!holes.txt": "bad_archive", "@!one.txt": OK},
    )
    yield Case(
        "tar-huge.tar",
        tar(one, end=False) + header("huge.txt", tarfile.REGTYPE, 1 << 40) + b"not so huge",
        note("bad_archive", "@!one.txt") | {"@!huge.txt": "too_large"},
    )
    yield Case("tar-negative.tar", header("less.txt", tarfile.REGTYPE, -512) + bytes(1024), note("bad_archive"))
    yield Case(
        "tar-broken-member.tar",
        tar(
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
    yield Case("tar-twice.tar", tar(one, one), {"@!one.txt": OK, "@!one.txt#item-1.0": "duplicate_id"})
    yield Case(
        "tar-names.tar",
        tar(("n" * (1 << 20) + ".txt", b"Mice."), one),
        {f"@!{'n' * 500}...e9c9220d4b614b5b#item-0.0": "bad_record", "@!one.txt": OK},
    )


def bombs() -> Iterator[Case]:
    yield Case("bomb.txt.gz", lambda: bomb(b"", b"0"), note("too_large"))
    yield Case("bomb-nul.txt.gz", lambda: bomb(b"", b"\0"), note("too_large"))
    yield Case(
        "bomb-line.jsonl.gz",
        lambda: bomb(line("before-bomb") + b'{"id": "bomb", "text": "', b"0", b'"}\n' + line("after-bomb")),
        {"before-bomb": OK, "@#2": "too_large", "after-bomb": OK},
    )
    yield Case(
        "bomb-lists.jsonl.gz",
        lambda: bomb(
            b'{"id": "bomb", "text": "x", "more": [0',
            b",[]",
            b"]}\n" + line("after-lists"),
            limits.MAX_DOCUMENT_BYTES // 8,
        ),
        {"@#1": "too_large", "after-lists": OK},
    )
    yield Case(
        "bomb-line.pubtator.gz",
        lambda: bomb(b"21|t|", b"0", f"\n22|t|{TEXT}\n".encode()),
        {"@#0": "too_large", "PMID:22": OK},
    )
    yield Case("bomb-text.nxml.gz", lambda: bomb(b"<article><body><p>", b"0"), note("bad_xml"))
    yield Case(
        "bomb-elements.xml.gz",
        lambda: bomb(pubmed(citation("23"))[:-19], b"<x/>", size=limits.MAX_DOCUMENT_BYTES // 4),
        note("too_large", "PMID:23"),
    )
    yield Case("bomb-attribute.nxml.gz", lambda: bomb(b"<article a='", b"0"), note("too_large"))
    yield Case("bomb-comment.nxml.gz", lambda: bomb(b"<article><!--", b"0"), note("too_large"))
    yield Case(
        "bomb-string.json.gz",
        lambda: bomb(bioc_json(passages("before-string"))[:-2] + b', {"id": "', b"0"),
        note("too_large", "before-string"),
    )
    yield Case(
        "bomb-lists.json.gz",
        lambda: bomb(b'{"documents": [{"id": "x", "passages": [', b"[],", size=limits.MAX_DOCUMENT_BYTES // 8),
        note("too_large"),
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
    yield Case("bomb-video.tar.gz", lambda: bomb_member("film.mp4", tarfile.REGTYPE), {"@!after.txt": OK})
    yield Case("bomb-pax.tar.gz", lambda: bomb_member("x", tarfile.XHDTYPE), note("too_large"))
    yield Case("bomb-long-name.tar.gz", lambda: bomb_member("x", tarfile.GNUTYPE_LONGNAME), note("too_large"))
