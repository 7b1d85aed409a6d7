"""A file is told by its content or name, is never silently empty, and no format of the field is taken for prose."""

import gzip

import pytest

from craft_ray.core.schema import Rejection
from craft_ray.readers import detect
from tests.support.hostile.making import tar
from tests.support.reading import jats, only, read, refused


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("41576520\n41576521\n41576522\n", "list of PMIDs"),
        ("PMID: 41576520, PMID: 41576521", "list of PMIDs"),
        ("TY  - JOUR\nTI  - Pax6\n", "RIS"),
        ("@article{x, title={Pax6}}", "BibTeX"),
        ("%PDF-1.7 ...", "PDF"),
        ("{\\rtf1 mice}", "RTF"),
        ("<!DOCTYPE html><html><article>mice</article></html>", "web page"),
        (">Pax6\nACGTACGT\n", "FASTA"),
    ],
)
def test_other_formats_of_the_field_are_never_prose(content: str, advice: str):
    reason, detail = refused(content, "x.txt")
    assert (reason, advice in detail) == ("unknown_format", True)


@pytest.mark.parametrize(
    "content", ["41576520 mice were seen.", "Pax6 - a gene", "{mice} and [men]", "<article> is a word"]
)
def test_prose_stays_prose(content: str):
    assert only(content, "x.txt").text == content


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        ("\n\n", "x.jsonl", "no_documents"),
        ("<PubmedArticleSet/>", "x.xml", "no_documents"),
        ("<collection/>", "x.xml", "no_documents"),
        (tar(("README.md", b"x")), "x.tar", "no_documents"),
        (gzip.compress(b"", mtime=0), "x.pubtator.gz", "no_documents"),
    ],
)
def test_a_file_without_documents_says_so(content, name, reason):
    assert refused(content, name)[0] == reason


def test_a_document_without_text_is_rejected_with_what_was_left_out():
    (found,) = read(jats(after="<back><ack><p>We thank all.</p></ack></back>"), "x.nxml")
    assert found == Rejection("x.nxml", "empty_text", "no text; words left out: acknowledgements 3")
    (found,) = read(" \n", "x.txt")
    assert found == Rejection("x.txt", "empty_text", "no text")


@pytest.mark.parametrize(("name", "content", "format"), [("x.nbib", b"", "medline"), ("x.csv", b"a,b", "csv")])
def test_formats_are_told_by_their_names(name: str, content: bytes, format: str):
    assert detect(name, content).name == format
