"""Formats that are renamed to JATS, and Europe PMC's XML."""

import pytest

from tests.support.reading import only, read, sections

TEI = """<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><encodingDesc><appInfo><application ident="{program}"/>
</appInfo></encodingDesc><fileDesc><titleStmt><title level="a">Pax6 in mice</title></titleStmt><publicationStmt>
<date when="2019-01-02"/></publicationStmt><sourceDesc><biblStruct><analytic><idno type="DOI">10.1/X</idno></analytic>
<monogr><title level="j">Cell</title><imprint><date when="2020-03"/></imprint></monogr></biblStruct></sourceDesc>
</fileDesc>
<profileDesc><abstract><div><p>Of mice.</p></div></abstract></profileDesc></teiHeader><text xml:lang="en"><body>
<div><head n="1">Methods</head><p>Mice ran <ref type="bibr">[1]</ref>.</p><formula>x = 1</formula></div>
<note place="foot">A note.</note><figure><head>Fig. 1.</head><label>1</label><figDesc>An eye.</figDesc></figure>
<figure type="table"><head>Table 1</head><table><row><cell>Pax6</cell><cell>1</cell></row></table></figure></body>
<back><div type="acknowledgement"><div><p>We thank.</p></div></div><div type="references"><listBibl><biblStruct>
<analytic><title>BRCA1</title></analytic></biblStruct></listBibl></div></back></text></TEI>"""


def test_tei_of_grobid():
    found = only(TEI.format(program="GROBID"), "x.tei.xml")
    assert (found.doc_id, found.title, found.year, found.journal) == ("DOI:10.1/x", "Pax6 in mice", 2020, "Cell")
    assert sections(found) == [
        ("title", "Pax6 in mice"),
        ("abstract", "Of mice."),
        ("body/Methods", "Methods\nMice ran [1]."),
        ("caption", "Fig. 1.\nAn eye.\nTable 1"),
    ]
    left_out = {"footnotes": 2, "tables": 2, "acknowledgements": 2, "references": 1}
    assert found.metadata["words_left_out"] == left_out
    everything = only(TEI.format(program="GROBID"), "x.tei.xml", include=tuple(left_out))
    parts = [text for name, text in sections(everything) if name in left_out or name == "table"]
    assert parts == ["A note.", "Pax6\t1", "We thank.", "BRCA1"]


def test_tei_of_others_is_rejected():
    (found,) = read(TEI.format(program="Pub2TEI"), "x.xml")
    assert (found.reason, "GROBID" in found.detail) == ("unknown_format", True)


CHAPTER = """<book-part book-part-type="chapter"><book-part-meta>
<book-part-id book-part-id-type="pmid">{id}</book-part-id>
<title-group><title>Pax6</title></title-group><pub-date><year>2020</year></pub-date><abstract><p>Of mice.</p></abstract>
</book-part-meta><body><p>Before.</p><sec><title>Methods</title><p>Mice ran.</p></sec><book-part><book-part-meta>
<title-group><title>Inner</title></title-group></book-part-meta><body><p>Deep.</p></body></book-part></body><back>
<ref-list><ref><mixed-citation>Lee A</mixed-citation></ref></ref-list></back></book-part>"""
BOOK = "<book-meta><book-title-group><book-title>Eyes</book-title></book-title-group></book-meta>"


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (f"<book-part-wrapper>{BOOK}{CHAPTER.format(id=7)}</book-part-wrapper>", ["PMID:7"]),
        (
            f"<book>{BOOK}<book-body>{CHAPTER.format(id=7)}{CHAPTER.format(id=8)}</book-body></book>",
            ["PMID:7", "PMID:8"],
        ),
        (
            f"<book>{BOOK}<front-matter><preface><named-book-part-body><p>Hello.</p></named-book-part-body></preface>"
            f"</front-matter><book-body>{CHAPTER.format(id=7)}</book-body></book>",
            ["x.xml", "PMID:7"],
        ),
    ],
)
def test_chapters_of_bits(content: str, ids: list[str]):
    *_, chapter = found = read(content, "x.xml")
    assert [item.doc_id for item in found] == ids
    assert sections(chapter) == [
        ("title", "Pax6"),
        ("abstract", "Of mice."),
        ("body", "Before."),
        ("body/Methods", "Methods\nMice ran."),
        ("body/Inner", "Inner\nDeep."),
    ]
    assert (chapter.title, chapter.year, chapter.journal) == ("Pax6", 2020, "Eyes")
    assert chapter.metadata["words_left_out"] == {"references": 2}


def test_xml_of_europe_pmc():
    result = (
        "<result><id>7</id><source>MED</source><pmid>7</pmid><title>Pax6</title><journalInfo><journal>"
        "<title>Cell</title></journal></journalInfo><pubYear>2020</pubYear>"
        "<abstractText>&lt;h4&gt;Methods&lt;/h4&gt;Mice ran.</abstractText></result>"
    )
    content = f"<responseWrapper><version>6.9</version><resultList>{result}</resultList></responseWrapper>"
    found = only(content, "x.xml")
    assert (found.doc_id, found.title, found.year, found.journal) == ("PMID:7", "Pax6", 2020, "Cell")
    assert sections(found) == [("title", "Pax6"), ("abstractText/Methods", "Mice ran.")]
