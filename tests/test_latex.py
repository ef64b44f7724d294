"""LaTeX tables: the layout of a paper's, and texts that cannot break or command it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from jrv3_eval.report.latex import escape, render_latex
from jrv3_eval.report.model import Cell, Column, Report, Section, Table

HOSTILE = (
    r"\input{/etc/passwd} \end{table} 100% & #1 $x_1^2$ ~ <b> | \"quoted\" 'it' `x` {} ?` -- ,, "
    "é ü ß ł 日本語 العربية \U0001f600 \x07 \ud800 \u202e"
)


def report(*tables: Table) -> Report:
    return Report("T", (), (Section("s", "S", tables=tables),))


def small(**changes: object) -> Table:
    content: dict[str, object] = {
        "name": "suite-x",
        "title": "X",
        "caption": "ndcg@10, percent.",
        "columns": (Column("model", numeric=False), Column("nq")),
        "rows": (
            (Cell("first stage"), Cell("40.00", 40.0)),
            (Cell("A"), Cell("61.85", 61.85, "best", ("*", "†"))),
            (Cell("B"), Cell("60.00", 60.0, "second")),
            (Cell("C"), Cell("-")),
        ),
        "legend": (("*", "differs"), ("†", "trained")),
        "paper": True,
        "groups": (2, 2),
    }
    return Table(**(content | changes))  # type: ignore[arg-type]


def test_best_is_bold_second_underlined_and_groups_are_ruled() -> None:
    text = render_latex(report(small()))["suite-x.tex"]
    assert r"\textbf{61.85}\textsuperscript{*}\textsuperscript{\dag}" in text
    assert r"\underline{60.00}" in text
    assert r"C & {--} \\" in text
    lines = text.splitlines()
    ruled = [lines[i + 1] for i, line in enumerate(lines) if line == r"\midrule"]
    assert [line.split(" & ")[0] for line in ruled] == ["first stage", "B"]
    assert r"\caption{X: ndcg@10{,} percent. \textsuperscript{*} differs." in text
    assert r"\label{tab:suite-x}" in text


def test_only_a_papers_tables_are_written_and_wide_ones_span_the_page() -> None:
    columns = (Column("model", numeric=False), *(Column(f"task_{i}") for i in range(13)))
    row = (Cell("A"), *(Cell("1.00", 1.0) for _ in range(13)))
    wide = small(name="wide", columns=columns, rows=(row,), groups=(1,))
    files = render_latex(report(wide, small(name="other", paper=False)))
    assert set(files) == {"wide.tex", "tables.tex"}
    assert r"\begin{table*}" in files["wide.tex"]
    assert r"\resizebox{\textwidth}" in files["wide.tex"]
    assert r"task\_0" in files["wide.tex"]


def test_negative_numbers_have_a_true_minus() -> None:
    table = small(rows=((Cell("A"), Cell("-2.50", -2.5)),), groups=(1,))
    assert r"$-$2.50" in render_latex(report(table))["suite-x.tex"]


def test_no_character_of_a_text_is_a_command() -> None:
    assert escape(r"\x{}$&#%_^~") == (
        r"\textbackslash{}x\{\}\$\&\#\%\_\textasciicircum{}\textasciitilde{}"
    )
    assert "U+65E5" in escape("日")
    assert escape("Zürich, é") == "Zürich{,} é"


def test_the_same_report_gives_the_same_files() -> None:
    assert render_latex(report(small())) == render_latex(report(small()))


def test_the_tables_compile_whatever_the_texts_are(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    found = subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False)
    if not found.stdout.strip():
        pytest.skip("LaTeX's package booktabs is not installed")
    columns = (Column("model", numeric=False), *(Column(f"nq & {i}") for i in range(13)))
    row = (Cell(HOSTILE[:60]), *(Cell("1.00", 1.0) for _ in range(13)))
    tables = (
        small(),
        small(name="wide", columns=columns, rows=(row, row), groups=(1, 1)),
        small(name="bad", title=HOSTILE, caption=HOSTILE, rows=((Cell(HOSTILE), Cell("2.00")),)),
    )
    for name, text in render_latex(report(*tables)).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode("latin-1")[-2000:]
    if shutil.which("pdftotext"):
        shown = subprocess.run(
            ["pdftotext", "tables.pdf", "-"], cwd=tmp_path, capture_output=True, check=True
        ).stdout.decode()
        assert "61.85" in shown
        assert "U+65E5" in shown
