"""Small files of what the field has, made by hand, and what must come of each: no words are lost without a word."""

import gzip
import io
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Deletion, Document, Item, Rejection
from craft_ray.readers import ReadOptions, detect, read_shard
from tests.support.hostile.making import tar


def read(content: bytes | str, name: str, **options) -> list[Item]:
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(read_shard(stream, name, ReadOptions(**options)))


def only(content: bytes | str, name: str, **options) -> Document:
    (found,) = read(content, name, **options)
    assert isinstance(found, Document), found
    return found


def sections(document: Item) -> list[tuple[str, str]]:
    assert isinstance(document, Document), document
    return [(section.name, document.text[section.start : section.end]) for section in document.sections]


def refused(content: bytes | str, name: str, **options) -> tuple[str, str]:
    with pytest.raises(ShardError) as raised:
        read(content, name, **options)
    return raised.value.reason, raised.value.detail


# JATS


def jats(body: str = "", meta: str = "", after: str = "", attributes: str = "") -> str:
    front = f"<front><article-meta>{meta}</article-meta></front>" if meta else ""
    return f"<article {attributes}>{front}<body>{body}</body>{after}</article>"


@dataclass(frozen=True)
class Jats:
    """Parts of an article and the sections that they give, with the optional parts that are read."""

    sections: list[tuple[str, str]]
    body: str = ""
    meta: str = ""
    after: str = ""
    include: tuple[str, ...] = ()


CAPTION = "<table-wrap><caption><p>Rates.</p></caption>"
TABLE = f"{CAPTION}<table><tr><th>Gene</th><th>x</th></tr><tr><td>Pax6</td><td>1</td></tr></table>"
TITLE = "<title-group><article-title>{}</article-title></title-group>"
JATS = {
    "text in an abstract without a paragraph": Jats(
        [("abstract", "Lens of mice.")], meta="<abstract>Lens of <i>mice</i>.</abstract>"
    ),
    "text in the body around blocks": Jats(
        [("body", "Pax6 acts."), ("caption", "An eye."), ("body", "It is old.")],
        "Pax6 acts.<fig><caption><p>An eye.</p></caption></fig>It is old.",
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
    "the English abstract of an article in Portuguese": Jats(
        [("abstract", "Of mice.")],
        meta='<abstract/><trans-abstract xml:lang="en"><p>Of mice.</p></trans-abstract>'
        '<trans-abstract xml:lang="es"><p>De ratones.</p></trans-abstract>',
    ),
}


@pytest.mark.parametrize("case", JATS.values(), ids=JATS.keys())
def test_jats_gives_its_words_in_their_sections(case: Jats):
    language = 'xml:lang="pt"' if "trans-abstract" in case.meta else ""
    found = only(jats(case.body, case.meta, case.after, language), "x.nxml", include=case.include)
    assert sections(found) == case.sections


@pytest.mark.parametrize(
    "article",
    [
        '<article xmlns="https://jats.nlm.nih.gov/ns/archiving/1.3/"><front><article-meta>'
        '<article-id pub-id-type="pmc">7</article-id></article-meta></front>'
        "<body><sec><title>Methods</title><p>Mice ran.</p></sec></body></article>",
        '<j:article xmlns:j="http://jats.nlm.nih.gov"><j:front><j:article-meta><j:article-id pub-id-type="pmcid">PMC7'
        "</j:article-id></j:article-meta></j:front><j:body><j:sec><j:title>Methods</j:title><j:p>Mice ran.</j:p>"
        "</j:sec></j:body></j:article>",
    ],
)
@pytest.mark.parametrize("around", ["{}", "<OAI-PMH xmlns='oai'><record><metadata>{}</metadata></record></OAI-PMH>"])
def test_jats_in_a_namespace_is_read(article: str, around: str):
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
        (
            '<article xmlns="http://www.elsevier.com/xml/ja/dtd"><item-info/><body><p>x</p></body></article>',
            "Elsevier's own",
        ),
    ],
)
def test_an_article_of_another_document_type_is_rejected(article: str, named: str):
    (found,) = read(article, "x.xml")
    assert isinstance(found, Rejection)
    assert (found.reason, named in found.detail) == ("unknown_format", True)


REVIEWED = jats(
    "<p>Mice ran.</p>",
    '<article-id pub-id-type="pmc">7</article-id><pub-date iso-8601-date="2021-03-04"/>',
    '<sub-article article-type="translation" xml:lang="fr"><front-stub><title-group>'
    "<article-title>Des souris</article-title></title-group></front-stub><body><p>Les souris.</p></body></sub-article>"
    '<response response-type="reply"><body><p>We agree.</p></body></response>',
)


def test_sub_articles_are_documents_of_their_own_on_request_and_counted_if_not():
    (article,) = read(REVIEWED, "x.nxml")
    assert isinstance(article, Document)
    assert (article.text, article.year) == ("Mice ran.", 2021)
    assert article.metadata["words_left_out"] == {"sub-articles": 6}
    article, translation, reply = read(REVIEWED, "x.nxml", include=("sub-articles",))
    assert isinstance(article, Document)
    assert isinstance(translation, Document)
    assert isinstance(reply, Document)
    assert "words_left_out" not in article.metadata
    assert (translation.doc_id, translation.title) == ("PMCID:PMC7#sub1", "Des souris")
    assert translation.metadata == {"article_type": "translation", "part_of": "PMCID:PMC7", "language": "fr"}
    assert (reply.doc_id, reply.text, reply.year) == ("PMCID:PMC7#sub2", "We agree.", 2021)


def test_words_that_a_setting_would_read_are_counted():
    found = only(
        jats(
            f"<p>Mice ran.<fn><p>Very fast.</p></fn></p>{TABLE}</table-wrap>",
            after="<back><ack><p>We thank.</p></ack></back>",
        ),
        "x.nxml",
    )
    assert found.metadata["words_left_out"] == {"footnotes": 2, "tables": 4, "acknowledgements": 2}


# PubMed


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
def test_pubmed_gives_an_english_abstract_wherever_it_stands(article, more, expected, left_out):
    found = only(
        f"<PubmedArticleSet><PubmedArticle>{citation(1, article, more)}</PubmedArticle></PubmedArticleSet>", "x.xml"
    )
    assert sections(found) == expected
    assert found.metadata.get("other_abstracts_left_out") == left_out


def test_the_old_root_of_medline_files_is_read():
    title = "<ArticleTitle>Pax6</ArticleTitle>"
    deletion = "<DeleteCitation><PMID>3</PMID></DeleteCitation>"
    content = f"<MedlineCitationSet>{citation(1, title)}{citation(2, title)}{deletion}</MedlineCitationSet>"
    first, second, third = read(content, "medline.xml")
    assert [first.doc_id, second.doc_id, third] == ["PMID:1", "PMID:2", Deletion("PMID:3")]


def test_utf16_with_a_byte_order_mark_is_xml():
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
def test_what_pubmed_saves_is_citations(name: str):
    first, second, third = read(MEDLINE, name)
    assert isinstance(first, Document)
    assert (first.doc_id, first.year, first.journal) == ("PMID:123", 2020, "A journal of eyes")
    assert sections(first) == [
        ("title", "Loss of Pax6 disturbs the lens."),
        ("abstract", "BACKGROUND: Mice see. RESULTS: Not without Pax6."),
    ]
    assert (second.doc_id, sections(second)) == ("PMID:124", [("title", "Next.")])
    assert (third.doc_id, sections(third)) == ("PMID:125", [("title", "Mäuse."), ("abstract", "Of mice.")])


PUBMED_CSV = 'PMID,Title,Authors,Publication Year\n123,"Pax6, and\nthe lens.",Cat JA,2020\n124,Next.,,2021,x\n'


def test_pubmeds_csv_gives_its_titles():
    first, second = read(PUBMED_CSV, "csv-pax6-set.csv")
    assert isinstance(first, Document)
    assert (first.doc_id, sections(first)) == ("PMID:123", [("Title", "Pax6, and\nthe lens.")])
    assert second == Rejection("csv-pax6-set.csv#2", "bad_record", "5 fields for 4 columns")


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


# BioC and PubTator

SENTENCES = [{"offset": 0, "text": "Pax6 acts."}, {"offset": 12, "text": "Mice see."}]


@pytest.mark.parametrize("text", [{"text": ""}, {}])
def test_sentences_of_bioc_json_stand_at_their_offsets(text: dict[str, str]):
    passages = [{"offset": 0, "infons": {"type": "abstract"}, "sentences": SENTENCES, **text}]
    found = only(json.dumps({"documents": [{"id": "7", "passages": passages}]}), "x.json")
    assert found.text == "Pax6 acts.  Mice see."


def test_sentences_of_bioc_xml_stand_at_their_offsets():
    inner = "".join(
        f"<sentence><offset>{s['offset'] + 100}</offset><text>{s['text']}</text></sentence>" for s in SENTENCES
    )
    content = f"<collection><document><id>7</id><passage><offset>100</offset>{inner}</passage></document></collection>"
    assert only(content, "x.xml").text == " " * 100 + "Pax6 acts.  Mice see."


def test_passages_that_touch_keep_their_offsets_and_their_words():
    passages = [{"offset": 0, "text": "Pax6\n"}, {"offset": 5, "text": "Mice"}, {"offset": 9, "text": "run"}]
    found = only(json.dumps({"documents": [{"id": "7", "passages": passages}]}), "x.json")
    assert found.text == "Pax6\nMicerun"
    assert sections(found) == [("passage", "Pax6\nMice"), ("passage", "run")]


@pytest.mark.parametrize("around", ['{"PubTator3": [%s]}', "%s\n", "[%s]"])
def test_bioc_documents_are_found_in_what_pubtators_service_sends(around: str):
    document = json.dumps({"_id": "7|None", "id": "7", "passages": [{"offset": 0, "text": "Pax6"}]}, indent=1)
    found = only(around % document, "x.json")
    assert (found.doc_id, found.text) == ("7", "Pax6")


def test_full_text_of_pubtator_is_one_document():
    content = "7|t|Pax6\n7|a|Of mice.\n7|t|Methods\n7|a|\n7|a|We ran.\n7\t0\t4\tPax6\tGene\t5080\n\n8|t|\n8|a|Next\n"
    first, second = read(content, "x.pubtator")
    assert sections(first) == [("title", "Pax6"), ("abstract", "Of mice."), ("body", "Methods\n We ran.")]
    assert (second.doc_id, sections(second)) == ("PMID:8", [("abstract", "Next")])
    assert isinstance(second, Document)
    assert second.text.index("Next") == 1  # as the format counts


# Records

RECORDS = [{"id": "a", "text": "Pax6"}, {"id": "b", "text": "mice"}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        "\n".join(json.dumps(record, indent=2) for record in RECORDS),
        "\n".join(map(json.dumps, RECORDS)),
    ],
    ids=["array", "pretty array", "pretty objects", "lines"],
)
def test_json_is_read_however_it_is_laid_out(content: str):
    for name in ("x.json", "x.jsonl"):
        assert [(item.doc_id, sections(item)) for item in read(content, name)] == [
            ("a", [("text", "Pax6")]),
            ("b", [("text", "mice")]),
        ]


def test_a_file_that_is_no_json_lines_is_one_rejection():
    reason, detail = refused("Pax6 acts.\n" * 500, "x.jsonl")
    assert (reason, "none of the first 500 lines" in detail) == ("bad_json", True)


def test_bad_lines_before_the_first_good_one_are_each_rejected():
    items = read('{oops}\n{"id": "a", "text": "Pax6"}\n{oops}\n', "x.jsonl")
    assert [item.doc_id for item in items] == ["x.jsonl#1", "a", "x.jsonl#3"]


@pytest.mark.parametrize(
    ("record", "options", "doc_id", "expected"),
    [
        ({"_id": "a", "title": "T", "text": "Pax6"}, {}, "a", [("text", "Pax6")]),
        ({"docid": "a", "contents": "Pax6"}, {}, "a", [("contents", "Pax6")]),
        ({"pmid": 7, "title": "T.", "abstract": "Pax6"}, {}, "PMID:7", [("title", "T."), ("abstract", "Pax6")]),
        ({"PMID": "7", "Abstract": "Pax6", "Body": None}, {}, "PMID:7", [("Abstract", "Pax6")]),
        ({"pmcid": "PMC7", "body": "Pax6"}, {}, "PMCID:PMC7", [("body", "Pax6")]),
        ({"id": "a", "text": "no", "note": "Pax6", "k": 1}, {"text_column": ("note",)}, "a", [("note", "Pax6")]),
        ({"id": "a", "key": "b", "text": "x"}, {"id_column": "key"}, "b", [("text", "x")]),
        ({"id": "a", "q": "Who?", "a": "Pax6"}, {"text_column": ("a", "q")}, "a", [("a", "Pax6"), ("q", "Who?")]),
    ],
)
def test_columns_are_found_by_their_usual_names_or_given(record, options, doc_id, expected):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([record]), sink)
    for content, name in ((json.dumps(record).encode(), "x.jsonl"), (sink.getvalue(), "x.parquet")):
        found = only(content, name, **options)
        assert (found.doc_id, sections(found)) == (doc_id, expected)
        columns = {
            "id": next(k for k in record if record[k] in (doc_id, 7, "7", "PMC7")),
            "text": [n for n, _ in expected],
        }
        usual = columns == {"id": "id", "text": ["text"]}
        assert usual or set(found.metadata["columns_read"]["text"]) >= set(columns["text"])
        assert usual or found.metadata["columns_read"]["id"] == columns["id"]


def test_records_without_a_column_of_text_are_rejected():
    (found,) = read('{"id": "a", "title": "Pax6", "prose": "mice"}\n', "x.jsonl")
    assert isinstance(found, Rejection)
    assert found.reason == "bad_record"
    assert refused("id,prose\na,mice\n", "x.csv")[0] == "bad_record"
    (found,) = read('{"id": "a", "text": "mice"}\n', "x.jsonl", text_column=("prose",))
    assert isinstance(found, Rejection)
    assert "`prose`" in found.detail


def test_tsv_is_read_with_its_columns():
    assert [item.doc_id for item in read("id\ttext\na\tPax6\nb\tmice\n", "x.tsv")] == ["a", "b"]


def test_ids_get_the_prefix_that_is_asked_for():
    lines = '{"id": 1, "text": "Pax6"}\n{"text": "no id"}\n'
    assert [item.doc_id for item in read(lines, "p/x.jsonl", id_prefix="shard")] == ["p/x.jsonl#1", "p/x.jsonl#2"]
    assert [item.doc_id for item in read(lines, "p/x.jsonl", id_prefix="trial-")] == ["trial-1", "p/x.jsonl#2"]


# Nothing is silently empty


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        ("\n\n", "x.jsonl", "no_documents"),
        ("<PubmedArticleSet/>", "x.xml", "no_documents"),
        ("<collection/>", "x.xml", "no_documents"),
        (tar(("README.md", b"x")), "x.tar", "no_documents"),
        (gzip.compress(b""), "x.pubtator.gz", "no_documents"),
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
