"""All readers: detection, real files, damaged bytes, memory."""

import gzip
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray import readers
from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import Deletion, Document, Rejection, Section
from craft_ray.readers import READERS, detect, is_shard_name
from craft_ray.readers.reader import Reader
from craft_ray.readers.text_builder import normalize_space
from tests.support.hostile.making import tar
from tests.support.reading import jats, only, read, refused, sections


@pytest.mark.parametrize(
    ("name", "head", "format"),
    [
        ("a.xml", b'<?xml version="1.0"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "x" "y">\n<PubmedArticleSet>', "pubmed"),
        ("a.xml.gz", b"<article xmlns:xlink='x'>", "jats"),
        ("a.nxml", b"", "jats"),
        ("a.xml", b"<collection><source/>", "bioc"),
        ("a.xml", b"<responseWrapper><version>6.9</version>", "europepmc"),
        ("a.tei", b'<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader/>', "grobid"),
        ("a.nxml.xml", b"<book-part-wrapper><book-meta/>", "bits"),
        ("a.xml", b"<book><book-meta/><book-body><book-part>", "bits"),
        ("a.json", b'{"source": "x", "documents": [', "bioc"),
        ("a.json", b'{"id": 1, "text": "x"}\n', "jsonl"),
        ("a.txt", b"123|t|Title\n", "pubtator"),
        ("a.txt", b"<article> is a word", "text"),
        ("a.dat", b"PAR1", "parquet"),
        ("x.nbib", b"", "medline"),
        ("x.csv", b"a,b", "csv"),
        ("deleted.pmids.gz", b"10000\n", "deletions"),
    ],
)
def test_detection(name: str, head: bytes, format: str):
    assert detect(name, head).name == format


@pytest.mark.parametrize(
    ("content", "name", "advice"),
    [
        ("41576520\n41576521\n41576522\n", "x.txt", "list of PMIDs"),
        ("PMID: 41576520, PMID: 41576521", "x.txt", "list of PMIDs"),
        ("PMC48141\nPMC48142\n", "x.txt", "list of PMIDs or PMCIDs"),
        ("1. Cell. 2020 Jan 9;180(1):1-10. doi: 10.1/x.\n\nPax6.\n\nLee A.\n\nPMID: 7\n", "x.txt", "the format PubMed"),
        ("1: Lee A. Pax6. Cell. 2020 Jan;180(1):1-10.\n PMID: 7; PMCID: PMC8.\n", "x.txt", "the format PubMed"),
        ("TY  - JOUR\nTI  - Pax6\n", "x.txt", "RIS"),
        ("@article{x, title={Pax6}}", "x.txt", "BibTeX"),
        ("%PDF-1.7 ...", "x.txt", "PDF"),
        ("{\\rtf1 mice}", "x.txt", "RTF"),
        ("<!DOCTYPE html><html><article>mice</article></html>", "x.txt", "web page"),
        (">Pax6\nACGTACGT\n", "x.txt", "FASTA"),
        ("<other><body>", "x.xml", "its root is other, without any of PubmedArticleSet"),
        ('<article xmlns="http://www.elsevier.com/xml/ja/dtd"><item-info/><body>', "x.xml", "Elsevier's own XML"),
        ('<d:document xmlns:d="http://www.elsevier.com/xml/document/schema"><article>', "x.xml", "Elsevier's own XML"),
        ("<converted-article><item-info/>", "x.xml", "Elsevier's own XML"),
        ('<component xmlns="http://www.wiley.com/namespaces/wiley"><body>', "x.xml", "Wiley's own XML"),
        ("<Publisher><PublisherInfo><article>", "x.xml", "Springer's A++"),
        ('<!DOCTYPE Publisher PUBLIC "-//Springer-Verlag//DTD A++ V2.4//EN">\n<Publisher>', "x.xml", "Springer's A++"),
        ("<TEI.2><teiHeader>", "x.xml", "TEI"),
        ("<art><ui>1</ui><ji>2</ji><fm>", "x.xml", "BioMed Central"),
        ("<eSummaryResult><DocSum><Id>7</Id>", "x.xml", "efetch with retmode=xml"),
        ("<eSearchResult><Count>7</Count>", "x.xml", "efetch with retmode=xml"),
        ("<doi_records><doi_record><collection>", "x.xml", "Crossref"),
        ("<record><metadata><collection/></metadata></record>", "x.xml", "its root is record"),
    ],
)
def test_unsupported_formats_are_not_read_as_prose(content: str, name: str, advice: str):
    reason, detail = refused(content, name)
    assert (reason, advice in detail) == ("unknown_format", True)


@pytest.mark.parametrize(
    "content",
    ["41576520 mice were seen.", "1. Mice\nIn 2020, PMID: 7", "Pax6 - a gene", "{mice} and [men]", "\ufeffa\r\nb\n"],
)
def test_prose_is_kept_byte_for_byte(content: str):
    assert only(content, "x.txt").text == content


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("\n\n", "x.jsonl"),
        ("<PubmedArticleSet/>", "x.xml"),
        ("<collection/>", "x.xml"),
        (tar(("README.md", b"x")), "x.tar"),
        (gzip.compress(b"", mtime=0), "x.pubtator.gz"),
    ],
)
def test_file_without_documents_is_an_error(content: bytes | str, name: str):
    assert refused(content, name)[0] == "no_documents"


def test_document_without_text_is_rejected():
    (found,) = read(jats(after="<back><ack><p>We thank all.</p></ack></back>"), "x.nxml")
    assert found == Rejection("x.nxml", "empty_text", "no text; words left out: acknowledgements 3")
    (found,) = read(" \n", "x.txt")
    assert found == Rejection("x.txt", "empty_text", "no text")


def test_a_reader_is_added_by_one_line(monkeypatch: pytest.MonkeyPatch):
    def read_fasta(stream, shard, options):
        for record in stream.read().decode().split(">")[1:]:
            name, _, text = record.partition("\n")
            yield Document(name, text, (Section("sequence", 0, len(text)),))

    fasta = Reader("fasta", read_fasta, shared_suffixes=("fa",), matches=lambda head: head.start.startswith(b">"))
    assert not is_shard_name("genes.fa.gz")
    monkeypatch.setattr(readers, "READERS", (*READERS, fasta))
    assert is_shard_name("genes.fa.gz")
    for format in (None, "fasta"):
        found = only(">Pax6\nACGT", "genes.fa", format=format)
        assert (found.doc_id, sections(found)) == ("Pax6", [("sequence", "ACGT")])


@given(st.text(st.sampled_from("ab \t\r\n\u00a0\u2009")))
def test_normalize_space(text: str):
    assert normalize_space(text) == re.sub("[ \t\r\n]+", " ", text).strip(" ")


def test_unknown_format_setting():
    with pytest.raises(SettingsError, match="no reader 'docx', only pubmed, jats, "):
        read(b"x", "x", format="docx")


def test_deletion_lists():
    content = "\ufeff10000\r\n\n# withdrawn\n PMCID:PMC1 \nmy notes.txt#2\n٣\n".encode() + b"\xff\n7\n"
    *found, bad, last = read(content, "x.pmids", format="deletions")
    assert found == [Deletion(name) for name in ("PMID:10000", "PMCID:PMC1", "my notes.txt#2", "٣")]
    assert (bad.doc_id, bad.reason, last) == ("x.pmids#7", "bad_encoding", Deletion("PMID:7"))


MEMORY = """
import resource, sys
from craft_ray.readers import read_shard
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as stream:
    count = sum(1 for _ in read_shard(stream, "x.xml.gz"))
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_of_a_file_of_30000_citations(data, tmp_path, request):
    """Real citations, repeated: 600 MB of XML, a third in the gate. Reading may take 64 MB."""
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
