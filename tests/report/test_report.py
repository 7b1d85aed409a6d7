import hashlib
import json
import re
from base64 import b64encode
from html import escape
from pathlib import Path

import pytest
from lxml import html
from typer.testing import CliRunner

from craft_ray.annotation.account import Account, summarize
from craft_ray.cli.app import app
from craft_ray.core.descriptions import KEY
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.text import safe
from craft_ray.report import page as module
from craft_ray.report.page import every_year, label_styles, source_of
from craft_ray.report.report import write_report
from craft_ray.tables.records import RunRecord, kept_versions
from craft_ray.tables.writer import Tables
from tests.support.hostile_output import HOSTILE, write_hostile_output
from tests.support.outputs import STORAGE, all_of, block, document, open_tables, write_tables


@pytest.fixture
def output(tmp_path: Path) -> Path:
    write_hostile_output(tmp_path / "tables")
    return tmp_path / "tables"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a hostile output."""
    folder = tmp_path_factory.mktemp("report")
    write_hostile_output(folder / "tables")
    write_report(open_tables(folder / "tables"), str(folder / "page.html"), title="Eyes & <b>mice</b>")
    return (folder / "page.html").read_text(encoding="utf-8")


@pytest.fixture
def page(content: str) -> html.HtmlElement:
    return html.fromstring(content.encode())


def written(output: Path, target: Path, **options) -> html.HtmlElement:
    write_report(open_tables(output), str(target), **options)
    return html.fromstring(target.read_bytes())


def text_of(page: html.HtmlElement, section: str) -> str:
    return " ".join(" ".join(page.get_element_by_id(section).itertext()).split())


def test_overview(page: html.HtmlElement):
    tiles = [" ".join(tile.text_content().split()) for tile in page.find_class("tiles")[0]]
    tokens = len("Pax6 in the mouse.") + len(f"PAX6 and {HOSTILE}") + len("Nothing.")
    assert tiles == ["6 documents", "3 annotated", "4 entities", f"{tokens} tokens", "2 rejected", "1 unreadable shard"]
    account = text_of(page, "account")
    assert "annotated 3 of these empty 1" in account
    assert "rejected 2 bad_gzip 1" in account
    assert "deleted 1" in account
    assert "as many as the table entities has rows" in account
    mentions = text_of(page, "mentions")
    assert re.search(r"PAX6 2 Pax6 1|Pax6 2 PAX6 1", mentions)
    runs = text_of(page, "runs")
    assert "20260101T000000-aaaa partly_rejected 3 2 1" in runs
    assert "f" * 64 in runs
    assert "Ray starts, 1.5 s" in runs
    charts = page.xpath("//figure[@class='chart']//svg[not(@id)]")
    assert {(svg.get("role"), bool(svg.get("aria-label"))) for svg in charts} == {("img", True)}
    captions = [" ".join(caption.text_content().split()) for caption in page.iter("figcaption")]
    assert captions[:2] == ["By label", "By year of the document"]
    top = text_of(page, "top")
    assert "All 4 entities were read and counted." in top
    assert "about 4 of 4 are expected right" in top  # four entities with a score of 0.93


def test_score_thresholds(page: html.HtmlElement):
    steps = json.loads(page.get_element_by_id("right").get("data-steps"))
    assert len(steps) == 19  # up to 0.90, the last step that any entity reaches
    assert steps[-1] == {"score": pytest.approx(0.9), "entities": 4, "expected": 4}


def test_links(page: html.HtmlElement):
    links = {link.get("href") for link in page.iter("a") if not link.get("href").startswith("#")}
    assert links == {"https://pubmed.ncbi.nlm.nih.gov/1", "https://pubmed.ncbi.nlm.nih.gov/2"}
    assert page.find(".//h1").text_content() == "Eyes & <b>mice</b>"
    for doc_id in ("PMID:1 onclick=x", "PMID:0", 'DOI:10.1/"><script>', "javascript:alert(1)", HOSTILE):
        assert source_of(doc_id) is None
    assert source_of("PMCID:PMC48141") == "https://pmc.ncbi.nlm.nih.gov/articles/PMC48141"
    assert source_of("DOI:10.1000/x(1)") == "https://doi.org/10.1000/x(1)"


def test_hostile_documents_are_escaped(content: str, page: html.HtmlElement):
    assert len(list(page.iter("script"))) == len(list(page.iter("style"))) == 1
    assert not list(page.iter("img", "iframe", "object", "embed", "form", "base"))
    assert not [
        name for element in page.iter() if isinstance(element.tag, str) for name in element.attrib if name[:2] == "on"
    ]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", content)
    assert content.count("&lt;script&gt;window.ran=1") > 5  # title, mention, section, detail, shard, input, setting
    assert page.xpath("//h3[contains(., 'onerror=window.ran=1')]")


def test_content_security_policy(page: html.HtmlElement):
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'; ")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        digest = hashlib.sha256(next(page.iter(tag)).text.encode()).digest()
        assert f"{directive} 'sha256-{b64encode(digest).decode()}'" in policy
    assert "unsafe" not in policy
    assert not page.xpath("//@style")
    fetched = {link for element, _, link, _ in page.iterlinks() if element.tag != "a"}
    assert all(link.startswith("data:") for link in fetched)


def test_mentions_are_marked_in_documents(page: html.HtmlElement):
    articles = {article.find(".//h3").text_content(): article for article in page.iter("article")}
    assert len(articles) == 2
    marks = list(articles["Eyes"].iter("mark"))
    assert [mark.text_content() for mark in marks] == ["Pax6", "mouse"]
    assert [mark.get("title") for mark in marks] == ["Protein, score 0.93, 0 to 4", "Taxon, score 0.93, 12 to 17"]
    assert "Pax6 in the mouse." in articles["Eyes"].text_content()


def test_mentions_within_others_are_marked(tmp_path: Path):
    text = "A retinal ganglion cell."
    row, entities = document("x", text, ("Cell", "retinal ganglion cell"))
    inner = entities[0] | {"label": "Anatomy", "mention": "retinal", "end": entities[0]["start"] + 7}
    write_tables(tmp_path / "tables", [row], [entity | {"score": 0.9} for entity in (*entities, inner)])
    (article,) = written(tmp_path / "tables", tmp_path / "page.html").iter("article")
    (shown,) = article.find_class("text")
    assert shown.text_content().strip() == text
    (outer,) = shown.findall("mark")
    assert [mark.get("title") for mark in outer.iter("mark")] == [
        "Cell, score 0.90, 2 to 23",
        "Anatomy, score 0.90, 2 to 9",
    ]


def test_concepts_in_one_sentence(page: html.HtmlElement):
    graph = page.get_element_by_id("graph")
    nodes = {node.get("data-node"): node.get("data-name") for node in graph.find_class("node")}
    assert list(nodes.values()) == ["Pax-6", html.fromstring(f"<i>{escape(safe(HOSTILE))}</i>").text, "Mus musculus"]
    lines = [
        ([nodes[end][:5] for end in line.get("data-ends").split()], line.get("data-sentences"))
        for line in graph.iter("path")
    ]
    assert sorted((sorted(ends), count) for ends, count in lines) == [
        (["</tit", "Pax-6"], "1"),
        (["Mus m", "Pax-6"], "1"),
    ]


def test_no_graph_of_a_sample(output: Path, tmp_path: Path):
    page = written(output, tmp_path / "page.html", max_entities=3)
    assert not page.xpath("//*[@id='graph']")


EMBEDDED = {"source": "embedded", "fingerprint": "f" * 64}


def night(output: Path, day: int, documents: dict[str, str], keep: int, model: dict[str, str] = EMBEDDED) -> str:
    """A run that annotates documents, each a Taxon mention of its whole text, and leaves its record."""
    run_id = f"202601{day:02}T000000-aaaaaaaa"
    tables = Tables(STORAGE, str(output), run_id)
    blocks = [block(output, (doc_id, text), shard=day, run_id=run_id) for doc_id, text in documents.items()]
    tables.replace(blocks, [all_of(one) for one in blocks])
    tables.finish(compact=True, kept=kept_versions(STORAGE, str(output), keep))
    record = RunRecord(STORAGE, str(output), run_id, inputs=[], model=model)
    record.close("complete", summarize(Account()), [], tables.versions())
    return run_id


def test_changes_since_the_last_run(tmp_path: Path):
    output = tmp_path / "tables"
    first = night(output, 1, {"PMID:1": "mouse", "PMID:2": "rat"}, keep=1)
    page = written(output, tmp_path / "page.html")
    assert not page.xpath("//*[@id='changes'] | //a[@href='#changes']")  # there is no run before
    night(output, 2, {"PMID:2": HOSTILE, "PMID:3": "mouse"}, keep=1)
    page = written(output, tmp_path / "page.html")
    changes = text_of(page, "changes")
    assert f"From the state that run {first} left (2 documents) to now (3)." in changes
    assert "added newly annotated 1 PMID:3" in changes
    assert "revised annotated again, content changed 1 PMID:2" in changes
    assert "Taxon 2 3 +1 +1 added" in changes
    assert re.search(r"Mentions that lost most .* rat -1 Taxon", changes)
    assert not page.xpath("//section[@id='changes']//script")
    links = page.xpath("//section[@id='changes']//a/@href")
    assert links == ["https://pubmed.ncbi.nlm.nih.gov/3", "https://pubmed.ncbi.nlm.nih.gov/2"]


def test_states_that_cannot_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for day, keep in ((1, 0), (2, 0)):
        night(tmp_path / "a", day, {"PMID:1": f"mouse {day}"}, keep)
    page = written(tmp_path / "a", tmp_path / "page.html")
    assert "The state before was not kept: craft-ray annotate --keep-versions 1" in text_of(page, "changes")
    for day in (1, 2):
        night(tmp_path / "b", day, {"PMID:1": f"mouse {day}"}, keep=1)
    monkeypatch.setattr("craft_ray.report.report.MAX_COMPARED", 3)  # two documents, two entities
    page = written(tmp_path / "b", tmp_path / "page.html")
    assert "craft-ray diff compares the two states" in text_of(page, "changes")


def test_models_of_all_documents_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output, page = tmp_path / "tables", tmp_path / "page.html"
    night(output, 1, {"PMID:1": "mouse", "PMID:2": "rat"}, keep=0)
    (one,) = written(output, page).xpath("//*[@id='models']")
    assert " ".join(one.text_content().split()) == "Annotated by embedded ffffffffffff (2 documents)."
    night(output, 2, {"PMID:3": "yeast"}, keep=0, model={"source": "<b>mine</b>", "fingerprint": "a" * 64})
    for listed in (20, 0):  # the records that are listed, and those that are looked up
        monkeypatch.setattr("craft_ray.report.report.RUNS_LISTED", listed)
        (two,) = written(output, page).xpath("//*[@id='models']")
        assert " ".join(two.text_content().split()) == (
            "Annotated by 2 models: embedded ffffffffffff (2 documents), <b>mine</b> aaaaaaaaaaaa (1 document)."
        )
    shown = CliRunner().invoke(app, ["runs", str(output)]).output
    assert {"model ffffffffffff: embedded", "model aaaaaaaaaaaa: <b>mine</b>"} <= set(shown.splitlines())


def test_sampled_page(output: Path, tmp_path: Path):
    for number in range(9):
        rows = [document(f"D:{number}-{n}", "mice", ("Taxon", "mice")) for n in range(20)]
        write_tables(output, [row for row, _ in rows], [entity for _, found in rows for entity in found])
    facts = write_report(open_tables(output), str(tmp_path / "page.html"), max_entities=60)
    page = html.fromstring((tmp_path / "page.html").read_bytes())
    assert (facts["sampled"], facts["rows"]) == (True, 184)
    assert 30 < facts["rows_read"] < 90
    top = text_of(page, "top")
    assert f"Sampled: {facts['rows_read']} of 184 entities were counted" in top
    (mice,) = page.xpath("//section[@id='mentions']//tr[th='mice']")
    assert 150 < int(re.search(r"≈ (\d+)", mice.text_content()).group(1)) <= 184
    assert "184" in text_of(page, "account")  # the sum over documents is exact
    again = write_report(open_tables(output), str(tmp_path / "page.html"), max_entities=60)
    other = write_report(open_tables(output), str(tmp_path / "page.html"), max_entities=60, seed=1)
    assert again["rows_read"] == facts["rows_read"] != other["rows_read"]
    exact = write_report(open_tables(output), str(tmp_path / "page.html"), max_entities=None)
    assert (exact["sampled"], exact["rows_read"]) == (False, 184)


def test_tables_without_entities_records_or_texts(tmp_path: Path):
    write_tables(tmp_path / "a", [{"doc_id": "x", "status": "rejected", "reason": "bad_xml", "n_entities": 0}], [])
    page = written(tmp_path / "a", tmp_path / "page.html")
    assert [text_of(page, id) for id in ("entities", "documents")] == [
        "Entities There are none.",
        "Documents shown There are none.",
    ]
    assert "No record of a run" in text_of(page, "runs")
    row, entities = document("x", "mice", ("Taxon", "mice"))
    write_tables(tmp_path / "b", [row | {"text": None}], entities)
    assert "Its text was not kept" in text_of(written(tmp_path / "b", tmp_path / "page.html"), "documents")


def test_errors(output: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot reach the page"):
        write_report(open_tables(output), str(tmp_path / "file" / "page.html"))
    for file in (output / "entities").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(RunError, match="cannot read the tables"):
        write_report(open_tables(output), str(tmp_path / "page.html"))


def luminance(colour: str) -> float:
    """Relative, as WCAG 2 defines it."""
    named = {"black": "#000000", "white": "#ffffff"}.get(colour, colour)
    parts = [int(named[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_label_styles_are_distinct_and_readable():
    names = ["Taxon", "Sequence", "Cell", "Protein", "Gene", "Chemical", "Cell line", "Celebrity", "%", "疾患"]
    looks = label_styles(names)
    assert [look.name for look in looks[:6]] == ["Sequence", "Cell", "Protein", "Gene", "Taxon", "Chemical"]
    assert len({look.mark for look in looks}) == len({look.number for look in looks}) == len(names)
    assert all(re.fullmatch("[A-Za-z0-9]{1,2}", look.mark) for look in looks)
    assert min(contrast(look.ink, look.ground) for look in looks) >= 4.5
    own = {"Celebrity": {"colour": "#331100", "letters": "Cy", "meaning": "who is well known"}}
    look = next(look for look in label_styles(names, {KEY: own}) if look.name == "Celebrity")
    assert (look.mark, look.ink, look.ground, look.meaning) == ("Cy", "white", "#331100", "who is well known")
    lines = re.findall(r"--style: (\w+)", module._resource("page.css"))
    assert len(set(lines)) == 5  # and of the sixth label a line above as well


@pytest.mark.parametrize("scheme", [0, 1])
def test_contrast_in_both_colour_schemes(scheme: int):
    blocks = re.findall(r":root \{(.*?)\}", module._resource("page.css"), re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w+)", blocks[scheme]))
    for ground in ("paper", "card"):
        for ink in ("text", "quiet", "link", "bad"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def test_every_year():
    rows = [{"year": year, "documents": 1, "entities": n} for year, n in ((None, 9), (2020, 1), (2022, 2))]
    assert every_year(rows) == [rows[1], {"year": 2021, "documents": 0, "entities": 0}, rows[2]]
    assert every_year(rows[:1]) == []
    assert len(every_year([{"year": 1, "entities": 1}, {"year": 2026, "entities": 1}])) == 2


def test_summary_is_json(output: Path, tmp_path: Path):
    facts = json.loads(json.dumps(write_report(open_tables(output), str(tmp_path / "page.html"), number=1)))
    assert facts["bytes"] == (tmp_path / "page.html").stat().st_size
    assert facts["documents_shown"] == 1
