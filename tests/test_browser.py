"""The HTML page of a report in a real browser: it works, asks for nothing, and holds its shape."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jrv3_eval.report.model import (
    Cell,
    Column,
    Figure,
    Report,
    Section,
    ShownDocument,
    ShownQuery,
    Table,
)
from jrv3_eval.report.page import render_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

HOSTILE = [
    "<script>window.__hacked = 1</script>",
    "</script><script>window.__hacked = 1</script>",
    '"\'><img src=x onerror="window.__hacked = 1">',
    "w" * 10_000,
    "ما هي عاصمة فرنسا؟ (Paris) 123",
    "👩‍🔬🏳️‍🌈" * 200,
    "\u202eevil\u202d \u2067open isolate, never closed",
    "\x00\x1b[31m\ud800 control",
]
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="900pt" height="300pt" viewBox="0 0 900 300">
<defs><clipPath id="c"><rect width="900" height="300"/></clipPath></defs>
<g clip-path="url(#c)"><rect width="400" height="200" style="fill: #4477aa"/>
<text x="20" y="250">words</text></g></svg>"""


@dataclass
class Opened:
    """A page with what it said and asked for since it was opened."""

    page: Any
    address: str
    troubles: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def column(self, place: int) -> list[str]:
        """Texts of one column of the first table, top to bottom, rows that show only."""
        rows = self.page.locator("table").first.locator("tbody tr:visible")
        return [row.locator("th, td").nth(place).inner_text() for row in rows.all()]

    def heading(self, name: str) -> Any:
        return self.page.locator("table").first.get_by_role("button", name=name)

    def order(self, name: str) -> str | None:
        heading = self.page.locator("table").first.locator("thead th", has_text=name)
        found: str | None = heading.get_attribute("aria-sort")
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The report's page from a file; afterwards nothing may have gone wrong or out."""
    path = tmp_path / "report.html"
    path.write_text(render_page(request.param), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    shown = Opened(page, path.as_uri())
    page.on(
        "console",
        lambda said: shown.troubles.append(said.text) if said.type in {"error", "warning"} else 0,
    )
    page.on("pageerror", lambda error: shown.troubles.append(str(error)))
    page.on("dialog", lambda dialog: shown.troubles.append(dialog.message) or dialog.dismiss())
    page.on("request", lambda asked: shown.requests.append(asked.url))
    page.goto(shown.address)
    yield shown
    assert page.evaluate("window.__hacked") is None
    assert shown.troubles == []
    asked = [url for url in shown.requests if not url.startswith("data:,")]
    assert asked == [shown.address]
    context.close()


def model_table() -> Table:
    rows = (("b10", 0.5), ("b9", 0.7), ("a", None), ("c", 0.7), ("", -0.1))
    return Table(
        "main",
        "Main",
        "nDCG@10",
        (
            Column("Model", numeric=False),
            Column("Score"),
            *(Column(f"task {n}") for n in range(20)),
        ),
        tuple(
            (
                Cell(name),
                Cell("–" if value is None else f"{value:.4f}", value),
                *(Cell("0.1234", 0.1234) for _ in range(20)),
            )
            for name, value in rows
        ),
        groups=(2, 3),
    )


def shown_query(task: str, qid: str, text: str | None) -> ShownQuery:
    found = ShownDocument("doc-1", 12, 1, 1, "A text that answers.")
    lost = ShownDocument("doc-2", 1, None, None, None)
    return ShownQuery(
        "beir", task, "ndcg@10", qid, text, "BM25", "jina", 0.25, 0.75, (lost, found), (found,)
    )


REPORT = Report(
    "A report",
    ("Rests on runs.",),
    (Section("main", "Results", ("A line.",), (model_table(),), (Figure("f", "F", "D", SVG),)),),
    (
        shown_query("scifact", "q1", "does zinc help"),
        shown_query("scifact", "q2", "aspirin and sleep"),
        shown_query("nfcorpus", "q3", None),
    ),
)


def hostile_report() -> Report:
    """Every text in every place where data can bring one."""
    joined = "\n".join(HOSTILE)
    cells = tuple(Cell(text, 0.5, "best", ("*", "<b>")) for text in HOSTILE)
    table = Table(
        joined,
        joined,
        joined,
        tuple(Column(text, numeric=number % 2 == 1) for number, text in enumerate(HOSTILE)),
        (cells, cells[::-1]),
        legend=tuple((text[:20], text) for text in HOSTILE),
    )
    documents = tuple(ShownDocument(text, 99999, 1, 3, text) for text in HOSTILE)
    queries = tuple(
        ShownQuery(text, text, text, text, text, text, text, 0.5, 0.1, documents, documents)
        for text in HOSTILE
    )
    figure = Figure(joined, joined, joined, SVG)
    section = Section(joined, joined, tuple(HOSTILE), (table, table), (figure, figure))
    return Report(joined, tuple(HOSTILE), (section, section), queries)


def widens(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


shows = pytest.mark.parametrize("opened", [REPORT], indirect=True, ids=["small"])


@shows
def test_a_click_sorts_and_the_third_restores(opened: Opened) -> None:
    before = opened.column(0)
    table = opened.page.locator("table").first
    rule = "row => getComputedStyle(row.cells[0]).borderTopWidth"
    third = table.locator("tbody tr").nth(2)
    assert third.evaluate(rule) == "2px"

    opened.heading("Score").click()
    assert opened.order("Score") == "descending"
    assert opened.column(0) == ["b9", "c", "b10", "", "a"]
    assert "2px" not in [row.evaluate(rule) for row in table.locator("tbody tr").all()]

    opened.heading("Score").click()
    assert opened.order("Score") == "ascending"
    assert opened.column(0) == ["", "b10", "b9", "c", "a"]

    opened.heading("Score").click()
    assert opened.order("Score") == "none"
    assert opened.column(0) == before
    assert third.evaluate(rule) == "2px"


@shows
def test_the_keyboard_sorts(opened: Opened) -> None:
    opened.heading("Model").focus()
    opened.page.keyboard.press("Enter")
    assert opened.column(0) == ["a", "b9", "b10", "c", ""]
    assert opened.order("Model") == "ascending"
    opened.page.keyboard.press("Space")
    assert opened.column(0) == ["c", "b10", "b9", "a", ""]
    opened.heading("Score").press("Enter")
    assert (opened.order("Model"), opened.order("Score")) == ("none", "descending")


@shows
def test_a_filter_leaves_rows_that_hold_its_words(opened: Opened) -> None:
    field_, status = opened.page.get_by_label("Filter rows"), opened.page.locator("output").first
    assert status.inner_text() == "5 of 5 rows"
    field_.fill("B 0.7")
    assert opened.column(0) == ["b9"]
    assert status.inner_text() == "1 of 5 rows"
    field_.fill("")
    assert status.inner_text() == "5 of 5 rows"


@shows
def test_a_query_opens_by_keyboard(opened: Opened) -> None:
    query = opened.page.locator("details").first
    assert not query.get_by_text("A text that answers.").first.is_visible()
    query.locator("summary").press("Enter")
    assert query.get_by_text("A text that answers.").first.is_visible()
    left, right = (part.bounding_box() for part in query.locator(".lists > div").all())
    assert left["y"] == right["y"]
    opened.page.set_viewport_size({"width": 400, "height": 800})
    left, right = (part.bounding_box() for part in query.locator(".lists > div").all())
    assert right["y"] >= left["y"] + left["height"]


@shows
def test_queries_are_found_by_text_and_task(opened: Opened) -> None:
    field_ = opened.page.get_by_label("Filter queries")
    field_.fill("ZINC")
    assert opened.page.locator("details:visible").count() == 1
    assert opened.page.locator("#queries output").inner_text() == "1 of 3 queries"
    assert opened.page.locator("#queries h3:visible").all_inner_texts() == ["beir / scifact"]
    field_.fill("nfcorpus")
    assert opened.page.locator("summary:visible").count() == 1
    assert "q3" in opened.page.locator("summary:visible").inner_text()


@shows
def test_the_theme_turns(opened: Opened) -> None:
    button = opened.page.get_by_role("button", name="Dark theme")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = opened.page.evaluate(paper)
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert opened.page.evaluate(paper) != light
    button.click()
    assert opened.page.evaluate(paper) == light
    opened.page.emulate_media(color_scheme="dark")
    assert opened.page.evaluate(paper) == light
    opened.page.emulate_media(color_scheme="dark", media="print")
    assert opened.page.evaluate(paper) == light


@shows
def test_wide_tables_scroll_within_the_page(opened: Opened) -> None:
    for width in (1280, 400):
        opened.page.set_viewport_size({"width": width, "height": 800})
        assert not widens(opened.page)
    region = opened.page.get_by_role("region", name="Table: Main")
    first = region.locator("tbody th").first
    at = first.bounding_box()["x"]
    region.evaluate("region => { region.scrollLeft = 300; }")
    assert region.evaluate("region => region.scrollLeft") == 300
    assert first.bounding_box()["x"] == at


@shows
def test_the_skip_link_comes_first(opened: Opened) -> None:
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert opened.page.locator(".skip").bounding_box()["x"] >= 0


@pytest.mark.parametrize("opened", [hostile_report()], indirect=True, ids=["hostile"])
def test_hostile_texts_neither_act_nor_widen(opened: Opened) -> None:
    assert opened.page.locator("script").count() == 1
    assert opened.page.locator("img").count() == 0
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for width in (1280, 400):
        opened.page.set_viewport_size({"width": width, "height": 800})
        assert not widens(opened.page)
    for heading in opened.page.locator("table").first.get_by_role("button").all():
        heading.evaluate("button => button.click()")
    opened.page.get_by_label("Filter queries").fill("عاصمة")
    assert opened.page.locator("details:visible").count() == 1
    direction = "element => getComputedStyle(element).direction"
    assert opened.page.locator("summary:visible .t").evaluate(direction) == "rtl"
