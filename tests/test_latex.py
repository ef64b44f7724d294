"""LaTeX tables: the layout of a paper's, and texts that cannot break or command it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from jrv3_eval.report.latex import escape, render_latex
from jrv3_eval.report.model import Cell, Column, Report, Section, Table

HOSTILE = (
    r"[x] \input{/etc/passwd} \end{table} 100% & #1 $x_1^2$ ~ <b> | \"quoted\" 'it' `x` {} ?` "
    "-- ,, é ü ß ł ẽ ế 日本語 العربية \U0001f600 \x07 \x00 \ud800 \u202e \ufffd q\u0303"
)


def report(*tables: Table) -> Report:
    return Report("T", (), (Section("s", "S", tables=tables),))


def small(**changes: object) -> Table:
    content: dict[str, object] = {
        "name": "suite-x",
        "title": "X",
        "caption": "ndcg@10, percent.",
        "columns": (Column("model", numeric=False), Column("nq"), Column("fiqa")),
        "rows": (
            (Cell("first stage"), Cell("40.00", 40.0), Cell("30.00", 30.0)),
            (Cell("A"), Cell("61.85", 61.85, "best", ("*", "†")), Cell("")),
            (Cell("B"), Cell("60.00", 60.0, "second", ("†",)), Cell("-2.50", -2.5)),
            (Cell("C"), Cell("-"), Cell("+1.00", 1.0)),
        ),
        "legend": (("*", "differs"), ("†", "trained.")),
        "paper": True,
        "groups": (2, 2),
    }
    return Table(**(content | changes))  # type: ignore[arg-type]


def wide(text: str = "A", columns: int = 14) -> Table:
    heads = (Column("model", numeric=False), *(Column(f"task_{i}") for i in range(1, columns)))
    row = (Cell(text), *(Cell("1.00", 1.0) for _ in range(1, columns)))
    return small(name="wide", columns=heads, rows=(row, row), groups=(1, 1))


def test_a_table_is_set_as_in_a_paper() -> None:
    star, dagger = r"\textsuperscript{$\ast$}", r"\textsuperscript{$\dagger$}"
    assert render_latex(report(small()))["suite-x.tex"].splitlines()[2:] == [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{X: ndcg@10, percent. {star} differs. {dagger} trained.}}",
        r"\label{tab:suite-x}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"model & nq & fiqa \\",
        r"\midrule",
        rf"first stage & 40.00\phantom{{{star}{dagger}}} & 30.00 \\",
        rf"A & \textbf{{61.85}}{star}{dagger} & -- \\",
        r"\midrule",
        rf"B & \underline{{60.00}}{dagger}\phantom{{{star}}} & $-$2.50 \\",
        rf"C & --\phantom{{{star}{dagger}}} & +1.00 \\",
        r"\bottomrule",
        r"\end{tabular}%",
        r"}",
        r"\end{table}",
    ]


def test_a_file_says_what_it_needs() -> None:
    text = render_latex(report(small()))["suite-x.tex"]
    comment = "".join(line for line in text.splitlines() if line.startswith("%"))
    assert r"\usepackage{booktabs}" in comment
    assert r"\usepackage{graphicx}" in comment


def test_only_a_papers_tables_are_written_and_wide_ones_span_the_page() -> None:
    files = render_latex(report(wide(), wide(columns=8), small(name="other", paper=False)))
    assert list(files) == ["wide.tex", "wide-2.tex", "tables.tex"]
    assert r"\begin{table*}" in files["wide.tex"]
    assert r"task\_1" in files["wide.tex"]
    assert r"\begin{table}" in files["wide-2.tex"]
    assert r"\input{wide.tex}" in files["tables.tex"]
    assert "landscape" in files["tables.tex"]
    assert "landscape" not in render_latex(report(small()))["tables.tex"]


def test_names_are_plain_and_none_takes_anothers_file() -> None:
    names = ("../x y%", "tables", "A", "a", "\ud800")
    files = render_latex(report(*(small(name=name) for name in names)))
    assert list(files) == ["x-y.tex", "tables-2.tex", "A.tex", "a-2.tex", "table.tex", "tables.tex"]
    assert r"\label{tab:a-2}" in files["a-2.tex"]


def test_only_numbers_have_a_minus() -> None:
    rows = ((Cell("all-MiniLM-6"), Cell("-0.5 [-1.0, .2]", -0.5), Cell("10-20")),)
    text = render_latex(report(small(rows=rows, groups=())))["suite-x.tex"]
    assert r"all-MiniLM-6 & $-$0.5 {[}$-$1.0, .2] & 10-20 \\" in text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (
            r"\x{}$&#%_^~",
            r"\textbackslash{}x\{\}\$\&\#\%\_\textasciicircum{}\textasciitilde{}",
        ),
        ("<|>\"`'", r"\textless{}\textbar{}\textgreater{}\symbol{34}\`{}'"),
        ("--- ,, ''", "-{}-{}- ,{}, '{}'"),
        ("[a] *b", "{[}a] {*}b"),
        ("Zürich, Łódź ế į", r"Zürich, Łód\'{z} \'{\^{e}} \k{i}"),
        ("e\u0301", "é"),
        ("a – b ± c × d → e †", r"a \textendash{} b $\pm$ c $\times$ d $\rightarrow$ e \dag{}"),
        ("日 \U0001f600", "{[}U+65E5] {[}U+1F600]"),
        ("\x07\ud800\u202e", "{[}U+0007]{[}U+D800]{[}U+202E]"),
        (" a\n\tb ", "a b"),
    ],
)
def test_no_character_of_a_text_is_a_command(text: str, written: str) -> None:
    assert escape(text) == written


def test_long_texts_are_cut_by_what_they_print() -> None:
    assert escape("w" * 99, 10) == "w" * 10 + r"\ldots{}"
    assert escape("日" * 99, 20) == "{[}U+65E5]" * 2 + r"\ldots{}"


def test_the_same_report_gives_the_same_files() -> None:
    assert render_latex(report(small(), wide())) == render_latex(report(small(), wide()))


def compiled(to: Path, *tables: Table) -> str:
    """The text of the document, empty where there is no program to read it."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    for package in ("booktabs.sty", "graphicx.sty", "geometry.sty"):
        found = subprocess.run(["kpsewhich", package], capture_output=True, check=False)
        if not found.stdout.strip():
            pytest.skip(f"LaTeX's {package} is not installed")
    for name, text in render_latex(report(*tables)).items():
        (to / name).write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=to, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode("latin-1")[-2000:]
    if shutil.which("pdftotext") is None:
        return ""
    read = ["pdftotext", "-layout", "tables.pdf", "-"]
    return subprocess.run(read, cwd=to, capture_output=True, check=True).stdout.decode()


def test_the_tables_compile_whatever_the_texts_are(tmp_path: Path) -> None:
    one = Cell(HOSTILE, None, "best", (HOSTILE, "*", "‡", "§"))
    bad = small(
        name=HOSTILE,
        title=HOSTILE,
        caption=HOSTILE,
        columns=(Column(HOSTILE), Column(HOSTILE), Column(HOSTILE)),
        rows=((one,) * 3, (Cell("* [1pt]"),) * 3),
        legend=((HOSTILE, HOSTILE),),
        groups=(1,),
    )
    shown = compiled(tmp_path, small(), wide("[1pt]"), bad)
    if shown:
        assert "61.85" in shown
        assert "−2.50" in shown
        assert "U+65E5" in shown
        assert "/etc/passwd" in shown


def test_nothing_sticks_out_of_the_page(tmp_path: Path) -> None:
    compiled(tmp_path, wide("first stage: a-model-with-a-long-name-v3"), small())
    assert "Overfull" not in (tmp_path / "tables.log").read_text(encoding="latin-1")


def test_long_texts_and_many_tables_compile(tmp_path: Path) -> None:
    long = small(
        name="long",
        title="W" * 9_999,
        caption="W" * 9_999,
        columns=(Column("W" * 999),) * 30,
        rows=((Cell("W" * 999, None, "best"),) * 30,),
        legend=(("*", "W" * 9_999), ("\U0001f600", "\U0001f600" * 999)),
    )
    many = [small(name=f"t{number}") for number in range(110)]
    compiled(tmp_path, long, *many)
