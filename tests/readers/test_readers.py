"""Readers, each on the content of a small file and all on bytes that are none."""

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray import readers
from craft_ray.core.errors import SettingsError, ShardError
from craft_ray.core.schema import REASONS, Deletion, Document, Item, Rejection, Section
from craft_ray.readers import READERS, Reader, ReadOptions, detect, is_shard_name, read_shard
from tests.conftest import SAMPLE
from tests.support.hostile.making import GOOD, tar


def read(content: bytes, name: str, format: str | None = None) -> list[Item]:
    return list(read_shard(io.BytesIO(content), name, ReadOptions(format)))


def sections(document: Item) -> dict[str, str]:
    assert isinstance(document, Document)
    return {section.name: document.text[section.start : section.end] for section in document.sections}


def test_pubmed_gives_title_labelled_abstract_and_deletions():
    first, second, deletion = read((SAMPLE / "citations.xml").read_bytes(), "citations.xml")
    assert isinstance(first, Document)
    assert first.doc_id == "PMID:990000001"
    assert (first.version, first.year, first.journal) == (1, 2026, "A sample journal")
    assert sections(first)["title"] == "Loss of Pax6 disturbs lens development in the mouse."
    assert list(sections(first)) == ["title", "abstract/BACKGROUND", "abstract/METHODS", "abstract/RESULTS"]
    assert "Ca2+" in sections(first)["abstract/RESULTS"]
    assert isinstance(second, Document)
    assert second.year == 2025
    assert second.metadata["other_abstracts_left_out"] == ["fre"]
    assert "résumé" not in second.text
    assert deletion == Deletion("PMID:990000003", 1)


def test_jats_gives_sections_lists_and_captions_and_leaves_out_tables_tex_and_references():
    (article,) = read((SAMPLE / "article.nxml").read_bytes(), "article.nxml")
    assert isinstance(article, Document)
    assert article.doc_id == "PMCID:PMC990000004"
    assert article.year == 2026
    found = sections(article)
    assert found["title"] == "Cadmium slows the division of yeast cells"
    assert found["body/Methods/Strains"].splitlines() == [
        "Strains",
        "Two alleles of the YCF1 gene were compared:",
        "the wild type, and",
        "a mutant that lacks the promoter sequence.",
    ]
    assert found["body/Methods/Growth"].endswith("The growth rate μ was taken from optical density.")
    assert "plasma membrane 1. Zrt1" in found["body/Introduction"]
    assert found["caption"].splitlines() == ["Growth of yeast with and without glutathione.", "Rates of all strains."]
    assert not any(left_out in article.text for left_out in ("0.31", "\\mu", "A reference", "Figure 1"))


def test_a_jats_article_with_named_entities_and_no_ids_is_read():
    doctype = b'<!DOCTYPE article SYSTEM "a.dtd" [<!ENTITY beta "b">]>'
    (article,) = read(doctype + b"<article><body><p>TNF-&alpha; and &beta;</p></body></article>", "x.nxml")
    assert isinstance(article, Document)
    assert article.doc_id == "x.nxml"
    assert article.text == "TNF-α and β"


BIOC_XML = b"""<?xml version="1.0"?><collection><source>s</source><date/><key/><document><id>7</id>
<infon key="year">2020</infon>
<passage><infon key="type">title</infon><offset>0</offset><text>Pax6 in mice</text></passage>
<passage><infon key="section_type">ABSTRACT</infon><offset>20</offset><text>It matters.</text></passage>
</document></collection>"""


def test_bioc_passages_stand_at_their_offsets():
    (document,) = read(BIOC_XML, "x.xml")
    assert isinstance(document, Document)
    assert (document.doc_id, document.title, document.year) == ("7", "Pax6 in mice", 2020)
    assert document.text[20:] == "It matters."
    assert sections(document) == {"title": "Pax6 in mice", "abstract": "It matters."}


def test_bioc_xml_is_read_as_the_bioc_library_reads_it():
    from bioc import biocxml

    (document,) = read(BIOC_XML, "x.xml")
    assert isinstance(document, Document)
    (oracle,) = biocxml.loads(BIOC_XML.decode()).documents
    for passage in oracle.passages:
        assert document.text[passage.offset : passage.offset + len(passage.text)] == passage.text


@pytest.mark.parametrize("as_list", [False, True])
def test_bioc_json_gives_what_bioc_xml_gives(as_list):
    from bioc import biocjson, biocxml

    content = biocjson.dumps(biocxml.loads(BIOC_XML.decode()))
    if as_list:
        content = f"[{content}]"
    assert read(content.encode(), "x.json") == read(BIOC_XML, "x.xml")


def test_pubtator_offsets_are_the_formats_own():
    content = b"123|t|Pax6 in mice\n123|a|It matters.\n123\t0\t4\tPax6\tGene\t5080\n\n124|t|Next\n124|a|\n"
    first, second = read(content, "x.pubtator")
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert first.doc_id == "PMID:123"
    assert first.text == "Pax6 in mice\nIt matters."
    assert (second.doc_id, second.text) == ("PMID:124", "Next")


def test_jsonl_keeps_other_fields_and_rejects_bad_lines_alone():
    lines = [
        b'{"id": "a", "text": "Pax6", "year": 2020, "source": "lab"}',
        b"{broken",
        b'{"id": "b", "text": 5}',
        b'{"text": "no id"}',
        b"\xff\xfe",
        b"",
        b'{"id": 7, "text": ""}',
    ]
    items = read(b"\n".join(lines), "x.jsonl")
    assert [item.doc_id for item in items] == ["a", "x.jsonl#2", "b", "x.jsonl#4", "x.jsonl#5", "7"]
    assert [item.reason if isinstance(item, Rejection) else None for item in items] == [
        None,
        "bad_json",
        "bad_record",
        None,
        "bad_encoding",
        "empty_text",
    ]
    assert isinstance(items[0], Document)
    assert items[0].metadata == {"source": "lab"}
    assert items[0].year == 2020


def test_parquet_is_read_as_jsonl_is():
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", None], "text": ["Pax6", "mice"], "source": ["lab", None]}), sink)
    first, second = read(sink.getvalue(), "x.parquet")
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert (first.doc_id, first.text, first.metadata) == ("a", "Pax6", {"source": "lab"})
    assert (second.doc_id, second.text) == ("x.parquet#1", "mice")


def test_text_is_kept_byte_for_byte():
    (document,) = read("\ufeffPax6\r\n in mice\n".encode(), "x.txt")
    assert isinstance(document, Document)
    assert document.text == "\ufeffPax6\r\n in mice\n"


def test_an_archive_gives_its_members_and_rejects_links_and_broken_ones():
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name, content in [
            ("../up.txt", b"Pax6"),
            ("broken.nxml", b"<article><p>"),
            ("README.md", b"not input"),
            ("good.nxml", b"<article><body><p>mice</p></body></article>"),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    found = {item.doc_id: item for item in read(sink.getvalue(), "x.tar.gz")}
    assert list(found) == [
        "x.tar.gz!../up.txt",
        "x.tar.gz!broken.nxml#unreadable",
        "x.tar.gz!good.nxml",
        "x.tar.gz!link.txt",
    ]
    reasons = [item.reason for item in found.values() if isinstance(item, Rejection)]
    assert reasons == ["bad_xml", "bad_archive"]


def test_a_truncated_gzip_gives_what_came_before_and_says_so():
    content = gzip.compress(b"".join(b'{"id": "%d", "text": "%d"}\n' % (i, i * 7919) for i in range(20_000)))
    items = []
    with pytest.raises(ShardError, match="bad_gzip"):
        items.extend(read_shard(io.BytesIO(content[: len(content) // 2]), "x.jsonl.gz"))
    assert len(items) > 1000
    assert [item.doc_id for item in items[:3]] == ["0", "1", "2"]


BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE article [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b"]><article><body><p>&j;</p></body></article>"
)


def test_an_entity_bomb_ends_harmlessly():
    """Entities are not expanded, or the parser refuses the file; either way no gigabytes of text."""
    try:
        items = read(BILLION_LAUGHS, "bomb.nxml")
    except ShardError as error:
        assert error.reason == "bad_xml"  # noqa: PT017
    else:
        assert all(len(item.text) < 1000 for item in items if isinstance(item, Document))


def test_external_entities_are_never_read(tmp_path):
    (tmp_path / "secret.txt").write_text("the secret")
    doctype = f'<!DOCTYPE article [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>'
    content = f"{doctype}<article><body><p>a &x; b</p></body></article>"
    (article,) = read(content.encode(), "x.nxml")
    assert isinstance(article, Document)
    assert "secret" not in article.text


@pytest.mark.parametrize(
    ("name", "head", "format"),
    [
        ("a.xml", b'<?xml version="1.0"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "x" "y">\n<PubmedArticleSet>', "pubmed"),
        ("a.xml.gz", b"<article xmlns:xlink='x'>", "jats"),
        ("a.nxml", b"", "jats"),
        ("a.xml", b"<collection><source/>", "bioc"),
        ("a.json", b'{"source": "x", "documents": [', "bioc"),
        ("a.json", b'{"id": 1, "text": "x"}\n', "jsonl"),
        ("a.txt", b"123|t|Title\n", "pubtator"),
        ("a.txt", b"<article> is a word", "text"),
        ("a.dat", b"PAR1", "parquet"),
    ],
)
def test_formats_are_told_by_name_and_content(name, head, format):
    assert detect(name, head).name == format


def test_what_no_reader_knows_is_a_shard_error():
    with pytest.raises(ShardError, match="unknown_format"):
        detect("a.xml", b"<html><body>")


def test_a_reader_is_added_by_one_line(monkeypatch):
    """FASTA: its names are taken from folders, its content is told, and `--format` knows it."""

    def read_fasta(stream, shard, options):
        for record in stream.read().decode().split(">")[1:]:
            name, _, text = record.partition("\n")
            yield Document(name, text, (Section("sequence", 0, len(text)),))

    fasta = Reader("fasta", read_fasta, suffixes=("fa",), matches=lambda head: head.start.startswith(b">"))
    assert not is_shard_name("genes.fa.gz")
    monkeypatch.setattr(readers, "READERS", (*READERS, fasta))
    assert is_shard_name("genes.fa.gz")
    for format in (None, "fasta"):
        (found,) = read(b">Pax6\nACGT", "genes.fa", format)
        assert (found.doc_id, sections(found)) == ("Pax6", {"sequence": "ACGT"})


def test_a_format_that_no_reader_has_is_a_bad_setting():
    with pytest.raises(SettingsError, match="no reader 'docx', only pubmed, jats, "):
        read(b"x", "x", "docx")


SEEDS = [
    (SAMPLE / "citations.xml").read_bytes(),
    (SAMPLE / "article.nxml").read_bytes(),
    BIOC_XML,
    b'{"documents": [{"id": "1", "passages": [{"offset": 0, "text": "Pax6"}]}]}',
    b"123|t|Pax6 in mice\n123|a|It matters.\n",
    b'{"id": "a", "text": "Pax6"}\n{"id": "b"}\n',
]


def in_tar(content: bytes) -> bytes:
    return tar(("before.txt", b"Pax6"), ("x.jsonl", content), ("after.txt", b"mice"))


WRAPPINGS = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "tar": in_tar,
    "tar.gz": lambda content: gzip.compress(in_tar(content)),
    "gzip in tar": lambda content: in_tar(gzip.compress(content)),
}


def damaged(content: bytes, draw) -> bytes:
    """Content with some of it cut out and other bytes put in its place."""
    start = draw.draw(st.integers(0, len(content)))
    stop = draw.draw(st.integers(start, min(len(content), start + 40)))
    return content[:start] + draw.draw(st.binary(max_size=20)) + content[stop:]


@given(
    st.sampled_from([None, *(reader.name for reader in READERS)]),
    st.sampled_from([*SEEDS, *GOOD.values()]) | st.binary(max_size=600),
    st.sampled_from(sorted(WRAPPINGS)),
    st.booleans(),
    st.data(),
)
def test_readers_raise_nothing_but_shard_errors_on_damaged_bytes(format, seed, wrapping, inside, draw):
    """Damaged within its wrapping, or the wrapping itself."""
    wrap = WRAPPINGS[wrapping]
    content = wrap(damaged(seed, draw)) if inside else damaged(wrap(seed), draw)
    items: list[Item] = []
    try:
        items.extend(read_shard(io.BytesIO(content), "x", ReadOptions(format)))
    except ShardError as error:
        assert error.reason in REASONS  # noqa: PT017
        assert not (inside and "tar" in wrapping), "a member has taken its archive with it"
    for item in items:
        assert isinstance(item, Document | Rejection | Deletion)
        if isinstance(item, Document):
            ends = [0, *(section.end for section in item.sections)]
            assert all(0 <= s.start < s.end <= len(item.text) for s in item.sections)
            assert all(s.start >= end for s, end in zip(item.sections, ends, strict=False))
    if inside and "tar" in wrapping:
        assert {"x!before.txt", "x!after.txt"} <= {item.doc_id.removesuffix("#unreadable") for item in items} or format


def test_every_real_input_is_read(data):
    counts = {}
    for folder in ("pubmed", "jats", "craft/jats", "craft/txt"):
        items = []
        for file in sorted(path for path in (data / folder).rglob("*") if path.is_file()):
            with file.open("rb") as stream:
                items += list(read_shard(stream, str(file)))
        assert not [item for item in items if isinstance(item, Rejection)]
        counts[folder] = len(items)
    assert counts == {"pubmed": 66, "jats": 5, "craft/jats": 67, "craft/txt": 67}


def test_no_paragraph_of_a_craft_article_is_lost(data):
    """What CRAFT's own plain text has of an article, ours has too, but for back matter (thanks, abbreviations)."""
    pmid = dict(reversed(line.split("\t")) for line in (data / "craft" / "idmap.tsv").read_text().splitlines())
    found = total = 0
    for file in sorted((data / "craft" / "jats").glob("*.nxml")):
        (article,) = read(file.read_bytes(), file.name)
        assert isinstance(article, Document)
        ours = set(re.findall(r"\w+", article.text))
        theirs = re.findall(r"\w+", (data / "craft" / "txt" / f"{pmid[file.stem]}.txt").read_text(encoding="utf-8"))
        found += sum(word in ours for word in theirs)
        total += len(theirs)
    assert found / total > 0.975


def test_metadata_can_be_written_as_json():
    items = read((SAMPLE / "citations.xml").read_bytes(), "x.xml")
    assert json.dumps([item.metadata for item in items if isinstance(item, Document)])


MEMORY = """
import resource, sys
from craft_ray.readers import read_shard
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as stream:
    count = sum(1 for _ in read_shard(stream, "x.xml.gz"))
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_file_of_30000_citations_is_never_held_whole(data, tmp_path, request):
    """Real citations, repeated: about 600 MB of XML (a third in the short form), and reading may take 64 MB."""
    times = 1000 if request.config.getoption("long") else 333
    content = gzip.decompress((data / "pubmed" / "baseline" / "pubmed26n1334.xml.gz").read_bytes())
    start, end = content.index(b"<PubmedArticle>"), content.rindex(b"</PubmedArticleSet>")
    path = tmp_path / "large.xml.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(content[:start])
        for _ in range(times):
            file.write(content[start:end])
        file.write(content[end:])
    done = subprocess.run([sys.executable, "-c", MEMORY, path], capture_output=True, text=True, check=True)
    count, megabytes = map(int, done.stdout.split())
    assert count == 30 * times
    assert megabytes < 64
