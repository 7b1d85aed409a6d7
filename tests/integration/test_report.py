"""The page of a report in a real browser."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from craft_ray.core.settings import S3Settings
from craft_ray.report.report import write_report
from craft_ray.storage.storage import Storage
from tests.support.hostile_output import write_hostile_output
from tests.support.outputs import open_tables
from tests.support.s3_server import S3Server

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.integration

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page about hostile documents."""
    folder = tmp_path_factory.mktemp("report")
    write_hostile_output(folder / "tables")
    write_report(open_tables(folder / "tables"), str(folder / "page.html"))
    return (folder / "page.html").as_uri()


class Opened:
    """A page with its requests, and all messages, errors and dialogs."""

    def __init__(self, browser: Any, file: str, **options: Any) -> None:
        self.page = browser.new_page(**({"viewport": {"width": 1280, "height": 900}} | options))
        self.requests: list[str] = []
        self.noise: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.noise.append(message.text))
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))
        self.page.on("dialog", lambda dialog: self.noise.append(dialog.message))
        self.page.goto(file)

    def marked(self) -> list[str]:
        """Texts of the marked mentions of the visible document."""
        texts: list[str] = self.page.locator("article:visible mark:not(.off)").all_text_contents()
        return texts

    def focused(self) -> str:
        text: str = self.page.evaluate("document.activeElement.textContent")
        return text

    def titled(self, title: str) -> None:
        """Turn to the document with a title."""
        for _ in self.page.locator("article").all():
            if self.page.locator("article:visible h3").text_content() == title:
                return
            self.page.get_by_role("button", name="Next").click()
        pytest.fail(f"there is no document {title}")


@pytest.fixture
def opened(browser: Any, file: str) -> Iterator[Opened]:
    opened = Opened(browser, file)
    opened.titled("Eyes")
    yield opened
    opened.page.close()


def test_no_requests_and_no_scripts_of_documents(opened: Opened, file: str):
    for _ in range(2):
        opened.page.get_by_role("button", name="Next").click()
    for summary in opened.page.locator("summary").all():
        summary.click()
    assert opened.requests == [file]
    assert opened.noise == []
    assert opened.page.evaluate("window.ran") is None
    assert opened.page.locator("img, iframe").count() == 0


def test_filter_labels_by_mouse(opened: Opened):
    button = opened.page.locator("button[data-label]", has_text="Taxon")
    assert opened.marked() == ["Pax6", "mouse"]
    button.click()
    assert (opened.marked(), button.get_attribute("aria-pressed")) == (["Pax6"], "false")
    ground = opened.page.locator("article:visible mark.off").evaluate("e => getComputedStyle(e).backgroundColor")
    assert ground == "rgba(0, 0, 0, 0)"
    button.click()
    assert (opened.marked(), button.get_attribute("aria-pressed")) == (["Pax6", "mouse"], "true")


def test_keyboard(opened: Opened):
    page = opened.page
    page.locator("button[data-label]", has_text="Protein").focus()
    page.keyboard.press("Space")
    assert opened.marked() == ["mouse"]
    page.keyboard.press("Space")
    page.get_by_role("button", name="Next").focus()
    for _ in ("the search", "the link of the document", "one of its mentions; the arrows lead on"):
        page.keyboard.press("Tab")
    assert opened.focused() == "Pax6"
    assert page.locator("#status").text_content() == "Pax6: Protein, score 0.93, 0 to 4"
    page.keyboard.press("ArrowRight")
    assert opened.focused() == "mouse"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert opened.focused() == "Pax6"
    shown = page.locator("article:visible").get_attribute("aria-label")
    page.keyboard.press("n")
    assert page.locator("article:visible").get_attribute("aria-label") != shown
    assert opened.focused() in opened.marked()
    page.keyboard.press("p")
    assert page.locator("article:visible").get_attribute("aria-label") == shown
    assert page.locator("#which").input_value() == page.locator("article:visible").get_attribute("data-document")


def test_find_a_document(opened: Opened):
    page, find = opened.page, opened.page.locator("#find")
    for asked in ("pmid:1", "in the MOUSE", "eyes"):
        opened.titled("Eyes")
        page.get_by_role("button", name="Next").click()
        find.fill(asked)
        find.press("Enter")
        assert page.locator("article:visible h3").text_content() == "Eyes"
    find.fill("n<b>owhere")
    find.press("Enter")
    assert page.locator("#status").text_content() == 'None of the documents shown has "n<b>owhere".'


def test_score_threshold(opened: Opened):
    page, threshold = opened.page, opened.page.locator("#threshold")
    assert page.locator("#right").text_content() == "about 4 of 4 are expected right."
    threshold.focus()
    page.keyboard.press("End")
    assert page.locator("#at").text_content() == "0.90"
    assert page.locator("#right").text_content() == "about 4 of 4 (100 %) are expected right."


def test_graph_of_concepts(opened: Opened):
    page, status = opened.page, opened.page.locator("#picked")
    hint = status.text_content()
    node = page.get_by_role("button", name="Mus musculus, Taxon")
    node.locator("circle").click()
    assert status.text_content() == "Mus musculus is in sentences with Pax-6 (1)."
    assert [page.locator(f"#graph {part}.lit").count() for part in ("path", ".node")] == [1, 2]
    page.get_by_role("button", name="Pax-6, Protein").focus()
    page.keyboard.press("Enter")
    assert str(status.text_content()).startswith("Pax-6 is in sentences with ")
    assert page.locator("#graph path.lit").count() == 2
    page.keyboard.press("Space")
    assert (status.text_content(), page.locator("#graph .lit").count()) == (hint, 0)
    assert opened.noise == []


def test_phone(browser: Any, file: str):
    opened = Opened(browser, file, viewport={"width": 390, "height": 800}, is_mobile=False)
    for summary in opened.page.locator("summary").all():
        summary.click()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    for chart in opened.page.locator(".chart svg").all():
        drawn, units = chart.evaluate("e => [e.getBoundingClientRect().width, e.viewBox.baseVal.width]")
        assert drawn / units > 0.85  # so that text of 11 units can be read
    opened.page.close()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_colour_scheme(browser: Any, file: str, scheme: str, dark: bool):
    opened = Opened(browser, file, color_scheme=scheme)
    paper, ink, chart = opened.page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color, "
        "getComputedStyle(document.querySelector('.chart text')).fill]"
    )
    assert (brightness(paper) < brightness(ink)) == dark
    assert chart == ink
    opened.page.close()


def brightness(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


def test_print(opened: Opened):
    opened.page.emulate_media(media="print")
    opened.page.set_viewport_size({"width": 700, "height": 1000})  # A4 without its margins
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 700
    assert not opened.page.locator("button:visible, select:visible, nav:visible").count()
    ground = opened.page.locator("article:visible mark").first.evaluate(
        "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).printColorAdjust]"
    )
    assert ground == ["rgb(0, 114, 178)", "exact"]


def test_report_on_s3(command: Any, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    prefix = s3_server.fresh_prefix()
    write_hostile_output(f"{prefix}/tables", Storage(S3Settings()))
    done = command("report", f"{prefix}/tables", "--html", f"{prefix}/page.html", "--samples", "1", "--json")
    assert (done.code, done.summary["html"], done.summary["documents_shown"]) == (0, f"{prefix}/page.html", 1)
    content = s3_server.filesystem().cat_file(f"{prefix}/page.html")
    assert (len(content), content.count(b"<article")) == (done.summary["bytes"], 1)
    assert s3_server.secret.encode() not in content
    none = command("report", f"{prefix}/none", "--html", f"{prefix}/none.html")
    assert (none.code, "there are no tables" in none.stderr) == (2, True)
    assert not s3_server.filesystem().exists(f"{prefix}/none.html")


def test_letters_of_a_label_stay_on_the_line(opened: Opened):
    """A mention is moved past the end of a line, and its letters never wrap without it."""
    boxes = opened.page.evaluate(
        """() => {
          const mark = document.querySelector("article:not([hidden]) mark");
          const before = mark.parentNode.insertBefore(document.createTextNode(""), mark);
          return [...Array(400).keys()].map((length) => {
            before.data = "i".repeat(length) + " ";
            return mark.getClientRects().length;
          });
        }"""
    )
    assert set(boxes) == {1}
