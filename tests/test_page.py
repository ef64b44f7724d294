"""The HTML page of a report: escaped throughout, self-contained, the same bytes each time."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
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
from jrv3_eval.report.page import clean, inline_svg, render_page

SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"
  "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="60pt" height="40pt" viewBox="0 0 60 40"
 xmlns="http://www.w3.org/2000/svg" version="1.1">
 <metadata><title>made at noon</title></metadata>
 <defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
 <defs><path id="glyph-41" d="M 0 0"/></defs>
 <defs><clipPath id="p1"><rect width="9" height="9"/></clipPath></defs>
 <g id="figure_1" clip-path="url(#p1)" style="fill: none; clip-path: url(#p1)">
  <!-- words -->
  <use xlink:href="#glyph-41"/><text>a &lt; b</text></g>
</svg>
"""

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style></title></textarea><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 191 }}{% raw %}",
    "<!--",
]


def small_report() -> Report:
    document = ShownDocument("d1", before=12, after=1, relevance=1, text="A text.")
    unjudged = ShownDocument("d2", before=1, after=None, relevance=None, text=None)
    query = ShownQuery(
        "beir", "nfcorpus", "ndcg@10", "q1", "what is it", "BM25", "jina", 0.25, 0.75,
        (unjudged, document), (document,),
    )  # fmt: skip
    table = Table(
        "main",
        "Main",
        "nDCG@10, top 100 of BM25.",
        (Column("Model", numeric=False), Column("SciFact")),
        (
            (Cell("BM25"), Cell("0.6650", 0.665, signs=("*",))),
            (Cell("jina"), Cell("0.7650", 0.765, "best")),
            (Cell("none"), Cell("–")),
        ),
        legend=(("*", "differs"),),
        groups=(1, 2),
    )
    section = Section("main", "Results", ("A line.",), (table,), (Figure("f", "F", "Bars.", SVG),))
    return Report("A report", ("Rests on runs.",), (section,), (query,))


def with_text(value: Any, text: str) -> Any:
    """The same shape with every text but marks and drawings replaced."""
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(with_text(item, text) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: with_text(getattr(value, field.name), text)
            for field in dataclasses.fields(value)
            if field.name not in {"mark", "svg"}
        }
        return dataclasses.replace(value, **changed)
    return value


class Elements(HTMLParser):
    """Counts what a browser would see as elements, and collects attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def every(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_stay_texts(text: str) -> None:
    plain = Elements(render_page(with_text(small_report(), "plain")))
    hostile = Elements(render_page(with_text(small_report(), text)))
    assert hostile.tags == plain.tags
    assert [name for name, _ in hostile.attributes] == [name for name, _ in plain.attributes]


def test_same_report_same_bytes() -> None:
    assert render_page(small_report()) == render_page(small_report())


def test_characters_that_no_page_can_hold_are_shown_as_replaced() -> None:
    page = render_page(with_text(small_report(), "a\ud800b\0c\x1b[2Jd\x85e"))
    page.encode("utf-8")
    assert "a\ufffdb\ufffdc\ufffd[2Jd\ufffde" in page
    assert clean("one\r\ntwo\rthree\tfour 👩‍🔬") == "one\ntwo\nthree\tfour 👩‍🔬"


def test_page_names_nothing_to_load() -> None:
    page = render_page(small_report())
    assert not re.search(r"https?:|@import|//[a-z]+\.[a-z]", page)
    elements = Elements(page)
    links = elements.every("href") + elements.every("xlink:href")
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not elements.every("src")


def test_only_the_packaged_script_may_run() -> None:
    page = render_page(small_report())
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page


def test_cells_carry_what_sorts_them() -> None:
    page = render_page(small_report())
    assert '<td data-v="0.665">0.6650<sup>*</sup></td>' in page
    assert '<td data-v="0.765"><b>0.7650</b></td>' in page
    assert '<td class="n" dir="auto">–</td>' in page
    assert page.count('<tr class="g">') == 1
    assert page.index('<tr class="g">') > page.index(">BM25<")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_does_not_sort_as_one(value: float) -> None:
    table = Table("t", "T", "C", (Column("a"), Column("b")), ((Cell("x"), Cell("y", value)),))
    assert "data-v=" not in render_page(Report("R", (), (Section("s", "S", (), (table,)),)))


def test_a_query_shows_both_orders() -> None:
    page = render_page(small_report())
    assert "0.2500 → 0.7500 <b>▲ +0.5000</b>" in page
    assert "not judged" in page
    assert "judged 1" in page
    assert "then 1, up 11" in page
    assert "was 12, up 11" in page
    assert "not in the other list" in page


def test_drawings_do_not_share_ids() -> None:
    figures = tuple(Figure(name, name, "Bars.", SVG) for name in ("a", "b", "b"))
    page = render_page(Report("R", (), (Section("s", "S", (), (), figures),)))
    ids = Elements(page).every("id")
    assert len(ids) == len(set(ids))
    references = re.findall(r"url\(#([^)]+)\)", page) + re.findall(r'<use href="#([^"]+)"', page)
    assert len(references) == 9
    assert set(references) <= set(ids)


def test_a_drawing_is_an_image_with_a_description() -> None:
    svg = inline_svg(Figure("a", "A", 'Bars "up" & down', SVG), "figure-a")
    assert svg.startswith("<svg ")
    assert 'role="img"' in svg
    assert 'aria-label="Bars &quot;up&quot; &amp; down"' in svg
    assert "#figure-a svg *{stroke-linejoin: round}" in svg
    assert "a &lt; b" in svg
    assert "noon" not in svg
    assert "figure_1" not in svg


def test_a_drawing_cannot_act() -> None:
    active = SVG.replace(
        "<!-- words -->",
        "<script>alert(1)</script><foreignObject><b/></foreignObject>"
        '<a xlink:href="javascript:alert(1)"><rect onclick="alert(1)"/></a>',
    )
    assert "alert" not in inline_svg(Figure("a", "A", "D", active), "figure-a")


def test_an_empty_report_is_a_page() -> None:
    page = render_page(Report("R", (), ()))
    assert "jrv3-eval" in page
    assert "<nav" not in page
    table = Table("t", "T", "C", (Column("a"),), ())
    assert "0 of 0 rows" in render_page(Report("R", (), (Section("s", "S", (), (table,)),)))


def test_big_reports_stay_small() -> None:
    """Six tables of 60 by 30, and 300 queries with 20 texts of 300 characters each."""
    columns = (Column("Model", numeric=False), *(Column(f"task {n}") for n in range(29)))
    row = (Cell("a model"), *(Cell("0.1234", 0.123456789012345) for _ in range(29)))
    tables = tuple(Table(f"t{n}", "T", "C", columns, (row,) * 60) for n in range(6))
    documents = tuple(ShownDocument(f"d{n}", n, n + 1, None, "x" * 300) for n in range(1, 11))
    query = ShownQuery("s", "t", "m", "q", "text", "a", "b", 0.1, 0.2, documents, documents)
    page = render_page(Report("R", (), (Section("s", "S", (), tables),), (query,) * 300))
    assert len(page.encode()) < 5 * 2**20
