"""Markdown for a pull request: tables, marks, and texts that stay text."""

from __future__ import annotations

import html
import re

import pytest

from jrv3_eval.report.markdown import escape, render_markdown
from jrv3_eval.report.model import Cell, Column, Figure, Report, Section, ShownQuery, Table

HOSTILE = (
    "a | b\n# c <script> @team me@x.org www.x.y https://z [l](u) ![i](u) `code` *x* ~~y~~ &lt; "
    "#12 GH-3 \\| \\ :tada: $x$ <!-- - {} \ud800 \x07 \u202e"
)
# What a renderer shows of it: spaces between words are one, what cannot be shown is replaced.
SHOWN = " ".join(HOSTILE.replace("\ud800", "\ufffd").replace("\x07", "\ufffd").split()).replace(
    "\u202e", "\ufffd"
)


def table(text: str = "A", caption: str = "percent") -> Table:
    return Table(
        name="t",
        title="Suite",
        caption=caption,
        columns=(Column("model", numeric=False), Column("nq")),
        rows=(
            (Cell(text), Cell("61.85", 61.85, "best", ("†",))),
            (Cell("B"), Cell("60.00", 60.0, "second", ("*",))),
            (Cell("C"), Cell("-")),
        ),
        legend=(("†", "trained"), ("*", "differs")),
    )


def query(qid: str, text: str | None = None, task: str = "t") -> ShownQuery:
    return ShownQuery("s", task, "ndcg@10", qid, text, "first", "second", 0.25, 0.75, (), ())


def hostile() -> str:
    figure = Figure("f", HOSTILE, HOSTILE, "<svg/>")
    section = Section("x", HOSTILE, (HOSTILE,), (table(HOSTILE, HOSTILE),), (figure,))
    report = Report(HOSTILE, (HOSTILE,), (section,), (query(HOSTILE, HOSTILE),))
    return render_markdown(report, {"f": "a b)/f.svg"})


def rendered(text: str) -> str:
    """HTML of CommonMark with GitHub's tables."""
    library = pytest.importorskip("markdown_it", reason="no Markdown renderer is installed")
    rules = ["table", "strikethrough"]
    return str(library.MarkdownIt("commonmark").enable(rules).render(text))


def shown(markup: str) -> str:
    """What a reader sees of HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup)).replace("\u200b", "").strip()


def test_a_table_has_its_marks_alignment_caption_and_legend() -> None:
    text = render_markdown(Report("R", ("lead",), (Section("x", "X", tables=(table(),)),)))
    assert text == (
        "# R\n\n- lead\n\n## X\n\n### Suite\n\n_percent_\n\n"
        "| model | nq |\n| --- | ---: |\n"
        "| A | **61.85**<sup>†</sup> |\n| B | <ins>60.00</ins><sup>\\*</sup> |\n| C | - |\n\n"
        "<sup>†</sup> trained; <sup>\\*</sup> differs\n"
    )


def test_a_best_cell_without_text_has_no_stray_marks() -> None:
    one = Table("t", "T", "", (Column("a"),), ((Cell("", None, "best"),),))
    text = render_markdown(Report("R", (), (Section("x", "X", tables=(one,)),)))
    assert "*" not in text
    assert "_" not in text


def test_hostile_texts_are_neither_markup_nor_mentions() -> None:
    text = hostile()
    # GitHub searches what a renderer shows, so entities and backslashes would not be enough.
    seen = html.unescape(text).replace("\\", "")
    for active in ("@team", "@x.org", "https://", "www.x", ":tada:", "#12", "GH-3"):
        assert active not in seen
    for control in ("\ud800", "\x07", "\u202e"):
        assert control not in text
    assert not re.search(r"(?<!\\)<(?!/?(?:sup|ins|span)>)", text)
    for row in (line for line in text.splitlines() if line.startswith("| ")):
        assert re.sub(r"\\.", "", row).count("|") in (3, 4)


def test_a_metrics_depth_is_no_mention_but_addresses_and_names_are_kept_apart() -> None:
    assert escape("ndcg@10, ndcg@10. map@5") == "ndcg@10, ndcg@10. map@5"
    for text in ("@10", "me@1.org", "me@1-a.org", "é@10", "a/b@1234567", "x@y"):
        assert "@&#8203;" in escape(text), text


def test_a_renderer_shows_hostile_texts_as_they_are() -> None:
    page = rendered(hostile())
    tags = set(re.findall(r"<(\w+)", page))
    structure = {"h1", "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert tags == structure | {"em", "strong", "sup", "ins", "span", "img"}
    for pattern in (r"<h1>(.*?)</h1>", r"<li>(.*?)</li>", r"<p>(.*?)</p>", r"<td>(.*?)</td>"):
        found = re.search(pattern, page)
        assert found
        assert shown(found[1]) == SHOWN
    assert [shown(cell) for cell in re.findall(r"<td>(.*?)</td>", page)].count(SHOWN) == 3
    assert page.count("<img") == 1
    assert 'src="a%20b%29/f.svg"' in page


@pytest.mark.parametrize("line", ["- a", "+ a", "1. a", "12) a", "---", "-", "- - -", "3.5 a"])
def test_no_line_starts_a_list_or_a_rule(line: str) -> None:
    report = Report("R", (line,), (Section("x", "X", (line,)),))
    page = rendered(render_markdown(report))
    assert page.count("<li>") == 1
    assert not re.search("<(ol|hr)", page)
    assert shown(page).count(line) == 2


def test_long_data_are_cut_and_a_protocol_is_whole() -> None:
    assert escape("w" * 10_000, 300) == "w" * 296 + " ..."
    words = "word " * 100 + "end"
    text = render_markdown(Report("R", (), (Section("x", "X", (), (table(words, words),)),)))
    assert f"_{words}_" in text
    assert f"| {words} |" not in text


def test_figures_are_links_where_a_path_is_known() -> None:
    figure = Figure("f", "F", "what it shows", "<svg/>")
    report = Report("R", (), (Section("x", "X", figures=(figure,)),))
    assert "![what it shows](figures/f.svg)" in render_markdown(report, {"f": "figures/f.svg"})
    assert "what it shows" not in render_markdown(report)


def test_at_most_ten_queries_of_a_task_are_listed() -> None:
    many = [query(f"q{i}", "who", task) for i in range(12) for task in ("t", "u")]
    text = render_markdown(Report("R", (), (), tuple(many)))
    head = "_ndcg@10, first → second_\n\n| qid | query | before → after |\n| --- | --- | ---: |"
    assert f"### s/t\n\n{head}\n| q0 | who | 0.2500 → 0.7500 |" in text
    assert f"### s/u\n\n{head}\n| q0 " in text
    assert text.count("| q9 |") == 2
    assert "q10" not in text


def test_the_same_report_gives_the_same_text() -> None:
    assert hostile() == hostile()
