"""PubMed: XML, the MEDLINE format of its "Save" button, and its CSV."""

import pytest

from craft_ray.core.schema import Deletion, Rejection
from tests.conftest import SAMPLE
from tests.support.reading import only, read, sections


def test_sample_has_labelled_abstracts_and_deletions():
    first, second, deletion = read((SAMPLE / "citations.xml").read_bytes(), "citations.xml")
    assert (first.doc_id, first.version, first.year, first.journal) == ("PMID:990000001", 1, 2026, "A sample journal")
    found = dict(sections(first))
    assert list(found) == ["title", "abstract/BACKGROUND", "abstract/METHODS", "abstract/RESULTS"]
    assert found["title"] == "Loss of Pax6 disturbs lens development in the mouse."
    assert "Ca2+" in found["abstract/RESULTS"]
    assert (second.year, second.metadata["other_abstracts_left_out"]) == (2025, ["fre"])
    assert "résumé" not in second.text
    assert deletion == Deletion("PMID:990000003", 1)


def citation(pmid: int, article: str, more: str = "") -> str:
    return f"<MedlineCitation><PMID>{pmid}</PMID><Article>{article}</Article>{more}</MedlineCitation>"


OTHER = '<OtherAbstract Type="NASA"{}><AbstractText>Of mice.</AbstractText></OtherAbstract>'
ABSTRACT = "<Abstract><AbstractText>Ours.</AbstractText></Abstract>"


@pytest.mark.parametrize(
    ("article", "more", "expected", "left_out"),
    [
        ("<ArticleTitle>Pax6</ArticleTitle>", OTHER.format(""), [("title", "Pax6"), ("abstract", "Of mice.")], None),
        ("<ArticleTitle>Pax6</ArticleTitle>", OTHER.format(' Language="fre"'), [("title", "Pax6")], ["fre"]),
        (ABSTRACT, OTHER.format(' Language="eng"'), [("abstract", "Ours.")], ["eng"]),
        ("<VernacularTitle>Mäuse</VernacularTitle>", "", [("title", "Mäuse")], None),
    ],
)
def test_english_abstracts(article, more, expected, left_out):
    found = only(
        f"<PubmedArticleSet><PubmedArticle>{citation(1, article, more)}</PubmedArticle></PubmedArticleSet>", "x.xml"
    )
    assert sections(found) == expected
    assert found.metadata.get("other_abstracts_left_out") == left_out


def test_types_of_publication_and_mesh_headings():
    types = '<PublicationTypeList><PublicationType UI="D016428">Journal Article</PublicationType></PublicationTypeList>'
    cells = '<DescriptorName UI="D008407" MajorTopicYN="N">Mast Cells</DescriptorName>'
    qualifier = '<QualifierName UI="Q000276" MajorTopicYN="Y">immunology</QualifierName>'
    mice = '<MeshHeading><DescriptorName UI="D051379" MajorTopicYN="N">Mice</DescriptorName></MeshHeading>'
    headings = f"<MeshHeadingList><MeshHeading>{cells}{qualifier}</MeshHeading>{mice}</MeshHeadingList>"
    article = f"<ArticleTitle>Pax6</ArticleTitle>{types}"
    found = only(f"<PubmedArticleSet>{citation(1, article, headings)}</PubmedArticleSet>", "x.xml")
    assert found.metadata["publication_types"] == ["Journal Article"]
    assert found.metadata["mesh"] == [
        {"id": "MESH:D008407", "name": "Mast Cells", "major": True, "qualifiers": ["immunology"]},
        {"id": "MESH:D051379", "name": "Mice", "major": False},
    ]
    assert sections(found) == [("title", "Pax6")]
    bare = only(f"<PubmedArticleSet>{citation(1, '<ArticleTitle>Pax6</ArticleTitle>')}</PubmedArticleSet>", "x.xml")
    assert not {"mesh", "publication_types"} & bare.metadata.keys()


def test_old_root_element():
    title = "<ArticleTitle>Pax6</ArticleTitle>"
    deletion = "<DeleteCitation><PMID>3</PMID></DeleteCitation>"
    content = f"<MedlineCitationSet>{citation(1, title)}{citation(2, title)}{deletion}</MedlineCitationSet>"
    first, second, third = read(content, "medline.xml")
    assert [first.doc_id, second.doc_id, third] == ["PMID:1", "PMID:2", Deletion("PMID:3")]


def test_byte_order_marks():
    content = f"<PubmedArticleSet>{citation(1, '<ArticleTitle>Mäuse</ArticleTitle>')}</PubmedArticleSet>"
    for encoding in ("utf-16", "utf-8-sig"):
        assert only(content.encode(encoding), "x.xml").text == "Mäuse"


MEDLINE = """
PMID- 123
OWN - NLM
TI  - Loss of Pax6 disturbs
      the lens.
AB  - BACKGROUND: Mice see. RESULTS: Not
      without Pax6.
LA  - eng
DP  - 2020 Jan-Feb
JT  - A journal of eyes
AU  - Cat JA

PMID- 124
TI  - Next.
PMID- 125
TT  - Mäuse.
OAB - Of mice.
OABL- eng
"""


@pytest.mark.parametrize("name", ["pubmed-pax6-set.txt", "x.nbib", "x"])
def test_medline_format(name: str):
    first, second, third = read(MEDLINE, name)
    assert (first.doc_id, first.year, first.journal) == ("PMID:123", 2020, "A journal of eyes")
    assert sections(first) == [
        ("title", "Loss of Pax6 disturbs the lens."),
        ("abstract", "BACKGROUND: Mice see. RESULTS: Not without Pax6."),
    ]
    assert (second.doc_id, sections(second)) == ("PMID:124", [("title", "Next.")])
    assert (third.doc_id, sections(third)) == ("PMID:125", [("title", "Mäuse."), ("abstract", "Of mice.")])


PUBMED_CSV = 'PMID,Title,Authors,Publication Year\n123,"Pax6, and\nthe lens.",Cat JA,2020\n124,Next.,,2021,x\n'


def test_csv_of_pubmed():
    first, second = read(PUBMED_CSV, "csv-pax6-set.csv")
    assert (first.doc_id, sections(first)) == ("PMID:123", [("Title", "Pax6, and\nthe lens.")])
    assert second == Rejection("csv-pax6-set.csv#2", "bad_record", "5 fields for 4 columns")
