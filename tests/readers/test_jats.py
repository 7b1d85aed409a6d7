"""JATS of many publishers: small articles, and the sections that each must give."""

from dataclasses import dataclass

import pytest

from tests.support.reading import jats, only, read, sections


@dataclass(frozen=True)
class Jats:
    sections: list[tuple[str, str]]
    body: str = ""
    meta: str = ""
    after: str = ""
    include: tuple[str, ...] = ()


CAPTION = "<table-wrap><caption><p>Rates.</p></caption>"
TABLE = f"{CAPTION}<table><tr><th>Gene</th><th>x</th></tr><tr><td>Pax6</td><td>1</td></tr></table>"
OASIS = (
    '<o:table xmlns:o="http://docs.oasis-open.org/ns/oasis-exchange/table"><o:tgroup><o:colspec colname="a"/><o:thead>'
    "<o:row><o:entry>Gene</o:entry><o:entry>x</o:entry></o:row></o:thead><o:tbody><o:row><o:entry><italic>Pax6</italic>"
    "</o:entry><o:entry>1</o:entry></o:row></o:tbody></o:tgroup></o:table>"
)
TITLE = "<title-group><article-title>{}</article-title></title-group>"
JATS = {
    "text in an abstract without a paragraph": Jats(
        [("abstract", "Lens of mice.")], meta="<abstract>Lens of <i>mice</i>.</abstract>"
    ),
    "text in the body around blocks": Jats(
        [("body", "Pax6 acts."), ("caption", "An eye."), ("body", "It is old.")],
        "Pax6 acts.<fig><caption><p>An eye.</p></caption></fig>It is old.",
    ),
    "a list in a section of a section": Jats(
        [("body/Methods", "Methods"), ("body/Methods/Strains", "Strains\nTwo alleles:\nthe wild type\na mutant")],
        "<sec><title>Methods</title><sec><title>Strains</title><p>Two alleles:<list><list-item><p>the wild type</p>"
        "</list-item><list-item><p>a mutant</p></list-item></list></p></sec></sec>",
    ),
    "notes under a table": Jats(
        [("caption", "Rates.\nOf ten mice.")],
        f"{CAPTION}<table-wrap-foot><fn-group><fn><label>a</label><p>Of ten mice.</p></fn></fn-group></table-wrap-foot>"
        "</table-wrap>",
    ),
    "credits of a figure": Jats(
        [("caption", "An eye.\nBy the authors.")],
        "<fig><caption><p>An eye.</p></caption><attrib>By the authors.</attrib></fig>",
    ),
    "a subtitle and a translated title": Jats(
        [("title", "Pax6\nIn mice"), ("trans-title", "Pax6 chez la souris")],
        meta="<title-group><article-title>Pax6</article-title><subtitle>In mice</subtitle><trans-title-group>"
        "<trans-title>Pax6 chez la souris</trans-title></trans-title-group></title-group>",
    ),
    "TeX in a title": Jats(
        [("title", "The μ opioid receptor")],
        meta=TITLE.format("The <alternatives><tex-math>\\mu</tex-math><math>μ</math></alternatives> opioid receptor"),
    ),
    "marks of footnotes and citations": Jats(
        [("body", "Their demand 22 rose, mice 3 , 4 too, and Ca2+ fell.")],
        '<p>Their demand<xref ref-type="fn">22</xref>rose, mice<sup><xref ref-type="bibr">3</xref> , '
        '<xref ref-type="bibr">4</xref></sup>too, and Ca<sup>2+</sup> fell.<fn><p>A note.</p></fn></p>',
    ),
    "a line of PubMed Central's": Jats(
        [("caption", "Primers.")],
        "<supplementary-material><caption><p>Primers.</p></caption><media><caption><p>"
        "Click here for additional data file.</p></caption></media></supplementary-material>",
    ),
    "descriptions for the blind": Jats(
        [("body", "Mice ran.")], "<p>Mice <inline-graphic><alt-text>arrow</alt-text></inline-graphic>ran.</p>"
    ),
    "tables, if asked for": Jats(
        [("caption", "Rates."), ("table", "Gene\tx\nPax6\t1")], f"{TABLE}</table-wrap>", include=("tables",)
    ),
    "tables of OASIS and CALS": Jats(
        [("caption", "Rates."), ("table", "Gene\tx\nPax6\t1")],
        f"{CAPTION}{OASIS}</table-wrap>",
        include=("tables",),
    ),
    "paragraphs, lists and tables in a cell": Jats(
        [("table", "Mice ran. Far. And wide.\tCa2+ a b\tx y z")],
        "<table-wrap><table><tbody><tr><td>Mice ran.<p>Far.</p><p>And wide.</p></td><td>Ca<sup>2+</sup><list>"
        "<list-item><p>a</p></list-item><list-item><p>b</p></list-item></list></td><td><table><tr><td>x</td><td>y</td>"
        "</tr><tr><td>z</td></tr></table></td></tr></tbody></table></table-wrap>",
        include=("tables",),
    ),
    "tables, if not": Jats([("caption", "Rates.")], f"{TABLE}</table-wrap>"),
    "footnotes, if asked for": Jats(
        [("body", "Mice ran."), ("footnotes", "Fast.")], "<p>Mice ran.<fn><p>Fast.</p></fn></p>", include=("footnotes",)
    ),
    "back matter, if asked for": Jats(
        [
            ("body", "Mice ran."),
            ("acknowledgements", "We thank."),
            ("appendix/Primers", "Primers\nACGT."),
            ("back/Funding", "Funding\nBy all."),
        ],
        "<p>Mice ran.</p>",
        after="<back><ack><p>We thank.</p></ack>"
        "<app-group><app><sec><title>Primers</title><p>ACGT.</p></sec></app></app-group>"
        "<sec><title>Funding</title><p>By all.</p></sec><ref-list><ref>No.</ref></ref-list></back>",
        include=("acknowledgements", "appendices", "back"),
    ),
    "references, if asked for": Jats(
        [("body", "Mice."), ("references", "Lee. Pax6 in mice.\nLee J Pax6 2020")],
        "<p>Mice.</p>",
        after="<back><ref-list><title>References</title><ref><label>1</label><mixed-citation><name>Lee</name>. "
        "<article-title>Pax6 in mice</article-title>.</mixed-citation></ref><ref><element-citation><name>"
        "<surname>Lee</surname><given-names>J</given-names></name><article-title>Pax6</article-title><year>2020</year>"
        "</element-citation></ref></ref-list></back>",
        include=("references",),
    ),
    "the English abstract of an article in Portuguese": Jats(
        [("abstract", "Of mice.")],
        meta='<abstract/><trans-abstract xml:lang="en"><p>Of mice.</p></trans-abstract>'
        '<trans-abstract xml:lang="es"><p>De ratones.</p></trans-abstract>',
    ),
}


@pytest.mark.parametrize("case", JATS.values(), ids=JATS.keys())
def test_sections(case: Jats):
    language = 'xml:lang="pt"' if "trans-abstract" in case.meta else ""
    found = only(jats(case.body, case.meta, case.after, language), "x.nxml", include=case.include)
    assert sections(found) == case.sections


@pytest.mark.parametrize(
    "article",
    [
        '<article xmlns="https://jats.nlm.nih.gov/ns/archiving/1.3/"><front><article-meta>'
        '<article-id pub-id-type="pmc">7</article-id></article-meta></front>'
        "<body><sec><title>Methods</title><p>Mice ran.</p></sec></body></article>",
        '<article xmlns="urn:a publisher"><front><article-meta><article-id pub-id-type="pmc">7</article-id>'
        "</article-meta></front><body><sec><title>Methods</title><p>Mice ran.</p></sec></body></article>",
        '<j:article xmlns:j="http://jats.nlm.nih.gov"><j:front><j:article-meta><j:article-id pub-id-type="pmcid">PMC7'
        "</j:article-id></j:article-meta></j:front><j:body><j:sec><j:title>Methods</j:title><j:p>Mice ran.</j:p>"
        "</j:sec></j:body></j:article>",
    ],
)
@pytest.mark.parametrize("around", ["{}", "<OAI-PMH xmlns='oai'><record><metadata>{}</metadata></record></OAI-PMH>"])
def test_namespaces(article: str, around: str):
    found = only(around.format(article), "x.xml")
    assert found.doc_id == "PMCID:PMC7"
    assert sections(found) == [("body/Methods", "Methods\nMice ran.")]


@pytest.mark.parametrize(
    ("article", "named"),
    [
        ("<article><pubfm/><fm><atl>Pax6</atl></fm><bdy><p>Mice.</p></bdy></article>", "Nature's own"),
        ("<article><art-admin/><art-front><titlegrp><title>Pax6</title></titlegrp></art-front></article>", "RSC's own"),
        (
            "<article><journal><journal_title>G</journal_title></journal><title>Mice</title></article>",
            "Copernicus's own",
        ),
        ("<publication><article><title>Mice</title><articleinfo/></article></publication>", "IEEE's own"),
        ('<ja:article xmlns:ja="http://x"><ja:item-info/><ja:head/></ja:article>', "Elsevier's own"),
        ("<article><other/></article>", "begins with `other`"),
        ("<article><item-info/><head/><body><p>x</p></body></article>", "Elsevier's own"),
        ("<article artid='x'><article-metadata/><body><p>x</p></body></article>", "IOP's own"),
        ("<article><info/><body><p>x</p></body></article>", "begins with `info`"),
    ],
)
def test_other_document_types_are_rejected(article: str, named: str):
    (found,) = read(article, "x.xml")
    assert (found.reason, named in found.detail) == ("unknown_format", True)


@pytest.mark.parametrize("prefix", ["", "odd:"])
def test_undeclared_prefixes_lose_nothing(prefix: str):
    article = (
        '<article><front><article-meta><article-id pub-id-type="pmid">7</article-id></article-meta></front>'
        "<body><p>Mice</p><p>run <math><mi>x</mi></math>.</p><table-wrap><table><tr><td>Pax6</td></tr></table>"
        "</table-wrap></body></article>"
    )
    for name in ("article-meta", "p", "math", "table"):
        article = article.replace(f"<{name}>", f"<{prefix}{name}>").replace(f"</{name}>", f"</{prefix}{name}>")
    found = only(article, "x.xml", include=("tables",))
    assert (found.doc_id, found.text) == ("PMID:7", "Mice\nrun x.\nPax6")


def test_entities_of_iso():
    dtd = "<!DOCTYPE article SYSTEM 'a.dtd'>"
    article = only(f"{dtd}<article><body><p>&bgr;&THgr; &b.alpha;&half; &none;</p></body></article>", "x.xml")
    assert article.text == "βΘ α½ &none;"


def test_entities_are_replaced_and_external_ones_never_read(tmp_path):
    (tmp_path / "secret.txt").write_text("the secret")
    dtd = f'<!DOCTYPE article SYSTEM "a.dtd" [<!ENTITY beta "b"><!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>'
    article = only(f"{dtd}<article><body><p>TNF-&alpha; and &beta; &x;</p></body></article>", "x.nxml")
    assert (article.doc_id, article.text) == ("x.nxml", "TNF-α and β &x;")


REVIEWED = jats(
    "<p>Mice ran.</p>",
    '<article-id pub-id-type="pmc">7</article-id><pub-date iso-8601-date="2021-03-04"/>',
    '<sub-article article-type="translation" xml:lang="fr"><front-stub><title-group>'
    "<article-title>Des souris</article-title></title-group></front-stub><body><p>Les souris.</p></body></sub-article>"
    '<response response-type="reply"><body><p>We agree.</p></body></response>',
)


def test_sub_articles():
    (article,) = read(REVIEWED, "x.nxml")
    assert (article.text, article.year) == ("Mice ran.", 2021)
    assert article.metadata["words_left_out"] == {"sub-articles": 6}
    article, translation, reply = read(REVIEWED, "x.nxml", include=("sub-articles",))
    assert "words_left_out" not in article.metadata
    assert (translation.doc_id, translation.title) == ("PMCID:PMC7#sub1", "Des souris")
    assert translation.metadata == {"article_type": "translation", "part_of": "PMCID:PMC7", "language": "fr"}
    assert (reply.doc_id, reply.text, reply.year) == ("PMCID:PMC7#sub2", "We agree.", 2021)


@pytest.mark.parametrize(
    ("body", "include", "counts"),
    [
        (f"<p>Mice ran.<fn><p>Very fast.</p></fn></p>{TABLE}</table-wrap>", (), {"footnotes": 2, "tables": 4}),
        (f"{CAPTION}{OASIS}</table-wrap>", (), {"tables": 4}),
        ("<table><tr><td>a <table><tr><td>b<fn><p>c</p></fn></td></tr></table></td></tr></table>", (), {"tables": 3}),
        ("<sec><ref-list><ref><p>a b</p></ref></ref-list></sec>", (), {"references": 2}),
        ("<table><tr><td>a<fn><p>c d</p></fn></td></tr></table>", ("tables",), {"footnotes": 2}),
    ],
)
def test_words_of_optional_parts_are_counted(body: str, include: tuple[str, ...], counts: dict[str, int]):
    found = only(
        jats(f"<p>Mice.</p>{body}", after=f"<back><ack><p>We thank.</p>{TABLE}</table-wrap></ack></back>"),
        "x.nxml",
        include=include,
    )
    assert found.metadata["words_left_out"] == {**counts, "acknowledgements": 7}


def test_words_left_out_of_included_back_matter_are_counted():
    found = only(jats("<p>x</p>", after=f"<back><app>{TABLE}</table-wrap></app></back>"), "x", include=("appendices",))
    assert (found.text, found.metadata["words_left_out"]) == ("x\nRates.", {"tables": 4})
