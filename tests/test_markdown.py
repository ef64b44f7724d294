"""Markdown for a pull request: tables, marks, and texts that stay text."""

from __future__ import annotations

import re

from jrv3_eval.report.markdown import escape, render_markdown
from jrv3_eval.report.model import Cell, Column, Figure, Report, Section, ShownQuery, Table

HOSTILE = "a | b\n# c <script> @team www.x.y https://z [l](u) `code` *x* :tada: \ud800"


def table(text: str = "A") -> Table:
    return Table(
        name="t",
        title="Suite",
        caption="percent",
        columns=(Column("model", numeric=False), Column("nq")),
        rows=(
            (Cell(text), Cell("61.85", 61.85, "best", ("†",))),
            (Cell("B"), Cell("60.00", 60.0, "second")),
        ),
        legend=(("†", "trained"),),
    )


def query(qid: str) -> ShownQuery:
    return ShownQuery("s", "t", "ndcg@10", qid, None, "before", "after", 0.25, 0.75, (), ())


def test_a_table_has_its_marks_alignment_caption_and_legend() -> None:
    text = render_markdown(Report("R", ("lead",), (Section("x", "X", tables=(table(),)),)))
    assert "| model | nq |\n| --- | ---: |\n| A | **61.85**<sup>†</sup> |" in text
    assert "| B | <u>60.00</u> |" in text
    assert "_percent_" in text
    assert "† trained" in text
    assert text.startswith("# R\n\n- lead\n")


def test_hostile_texts_are_neither_markup_nor_mentions() -> None:
    text = render_markdown(
        Report(HOSTILE, (HOSTILE,), (Section("x", HOSTILE, (HOSTILE,), (table(HOSTILE),)),))
    )
    assert not re.search(r"(?<!\\)<script", text)
    assert "@team" not in text
    assert "https://" not in text
    assert "www.x" not in text
    assert ":tada:" not in text
    row = next(line for line in text.splitlines() if "61.85" in line)
    assert row.replace(r"\|", "").count("|") == 3
    assert "\ud800" not in text


def test_long_texts_are_cut() -> None:
    assert len(escape("w" * 10_000)) == 300


def test_figures_are_links_where_a_path_is_known() -> None:
    figure = Figure("f", "F", "what it shows", "<svg/>")
    report = Report("R", (), (Section("x", "X", figures=(figure,)),))
    assert "![what it shows](figures/f.svg)" in render_markdown(report, {"f": "figures/f.svg"})
    assert "what it shows" not in render_markdown(report)


def test_at_most_ten_queries_of_a_task_are_listed() -> None:
    report = Report("R", (), (), tuple(query(f"q{i}") for i in range(12)))
    text = render_markdown(report)
    assert "| q9 | 0.2500 | 0.7500 | +0.5000 |" in text
    assert "q10" not in text
    assert text == render_markdown(report)
