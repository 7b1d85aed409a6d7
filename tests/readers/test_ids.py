"""One article has one id, whatever form it comes in."""

import json

import pytest

from craft_ray.readers.ids import article_id, id_of_kind, own_id
from tests.support.reading import jats, read

PUBMED = """<PubmedArticle><MedlineCitation><PMID Version="1"> 7 </PMID>
<Article><ArticleTitle>Pax6</ArticleTitle></Article></MedlineCitation></PubmedArticle>"""
BIOC = """<collection><document><id>{id}</id><passage><infon key="type">title</infon>{infons}<offset>0</offset>
<text>Pax6</text></passage></document></collection>"""
PMC = '<infon key="article-id_pmc">{}</infon><infon key="article-id_pmid">7</infon>'


@pytest.mark.parametrize(
    ("content", "name", "doc_id"),
    [
        (PUBMED, "x.xml", "PMID:7"),
        ("PMID- 7\nTI  - Pax6\n", "x.nbib", "PMID:7"),
        ("7|t|Pax6\n", "x.pubtator", "PMID:7"),
        (BIOC.format(id="7", infons=""), "x.xml", "PMID:7"),
        (BIOC.format(id="a", infons='<infon key="article-id_pmid">7</infon>'), "x.xml", "PMID:7"),
        ('{"id": "a", "pmid": 7.0, "text": "Pax6"}', "x.jsonl", "PMID:7"),
        ("id,PubMed ID,text\na, 7.0,Pax6\n", "x.csv", "PMID:7"),
        (jats("<p>Pax6</p>", '<article-id pub-id-type="pmid">7</article-id>'), "x.nxml", "PMID:7"),
        (jats("<p>Pax6</p>", '<article-id pub-id-type="pmc">8</article-id>'), "x.nxml", "PMCID:PMC8"),
        (jats("<p>Pax6</p>", '<article-id pub-id-type="pmcid">PMC8</article-id>'), "x.nxml", "PMCID:PMC8"),
        (BIOC.format(id="8", infons=PMC.format(8)), "x.xml", "PMCID:PMC8"),
        (BIOC.format(id="PMC8", infons=""), "x.xml", "PMCID:PMC8"),
        (BIOC.format(id="PMC8", infons="").replace("title", "paragraph"), "x.xml", "PMCID:PMC8"),
        (json.dumps({"PMCID": "PMC8", "text": "Pax6"}), "x.jsonl", "PMCID:PMC8"),
    ],
)
def test_articles_of_each_format(content: str, name: str, doc_id: str):
    assert [item.doc_id for item in read(content, name)] == [doc_id]


@pytest.mark.parametrize(
    "doi", ["10.1000/AbC", "https://doi.org/10.1000/abc", "http://dx.doi.org/10.1000/abc", "doi: 10.1000/abc"]
)
def test_dois(doi: str):
    for content, name in (
        (json.dumps({"doi": doi, "text": "Pax6"}), "x.jsonl"),
        (jats("<p>Pax6</p>", f'<article-id pub-id-type="doi">{doi}</article-id>'), "x.nxml"),
    ):
        assert [item.doc_id for item in read(content, name)] == ["DOI:10.1000/abc"]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("pmid", " 7 ", "PMID:7"),
        ("pmid", "https://pubmed.ncbi.nlm.nih.gov/7/", "PMID:7"),
        ("pmid", "http://www.ncbi.nlm.nih.gov/pubmed/7", "PMID:7"),
        ("pmid", "PMC7", None),
        ("pmcid", "7.0", "PMCID:PMC7"),
        ("PMC ID", "PMC7.2", "PMCID:PMC7"),
        ("pmcid", "https://www.ncbi.nlm.nih.gov/pmc/articles/PMC7/", "PMCID:PMC7"),
        ("doi", "none", None),
        ("id", "7", None),
    ],
)
def test_forms_of_ids(column: str, value: str, expected: str | None):
    assert id_of_kind(column, value) == expected


def test_best_id():
    assert article_id({"doi": "10.1/x", "pmid": "7", "pmc": "PMC8"}) == "PMCID:PMC8"
    assert article_id({"doi": "10.1/x", "pmid": ""}) == "DOI:10.1/x"
    assert own_id("7", {"article-id_doi": "10.1/x"}) == "PMID:7"
    assert own_id("7", number_is_pmid=False) == "7"


def test_rows_without_a_pmid_have_their_other_id():
    lines = "".join(json.dumps({"id": "a", "pmid": pmid, "text": "x"}) + "\n" for pmid in ("7", "", None))
    assert [item.doc_id for item in read(lines, "x.jsonl")] == ["PMID:7", "a", "a"]
