"""Tables that a paper takes in with \\input: booktabs, best in bold, second underlined."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from .model import Cell, Report, Table
from .page import clean

WIDE = 8  # columns; a wider table spans the page and is shrunk to it
_PREAMBLE = "% Written by jrv3-eval. Needs \\usepackage{booktabs}, \\usepackage{graphicx} and T1.\n"
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    # Two hyphens would become a dash, and some pairs a ligature.
    "-": "{-}",
    ",": "{,}",
    "?": "{?}",
    "!": "{!}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "−": "$-$",
    "–": "{--}",
    "—": "{---}",
    "…": r"\ldots{}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "·": r"\textperiodcentered{}",
    "⟨": "[",
    "⟩": "]",
}
_SIGNS = {"*": "*", "†": r"\dag", "‡": r"\ddag", "§": r"\S"}


def render_latex(report: Report) -> dict[str, str]:
    """File name -> content: one file a paper's table, and `tables.tex`, which sets them all."""
    tables = [table for one in report.sections for table in one.tables if table.paper]
    files = {f"{table.name}.tex": _PREAMBLE + _table(table) for table in tables}
    inputs = "\n".join(f"\\input{{{table.name}}}" for table in tables)
    files["tables.tex"] = (
        "\\documentclass[a4paper]{article}\n"
        "\\usepackage[utf8]{inputenc}\n"
        "\\usepackage[T1]{fontenc}\n"
        "\\IfFileExists{lmodern.sty}{\\usepackage{lmodern}}{}\n"
        "\\usepackage{textcomp}\n"
        "\\usepackage{booktabs}\n"
        "\\usepackage{graphicx}\n"
        "\\usepackage[margin=2cm]{geometry}\n"
        "\\begin{document}\n"
        f"\\section*{{{escape(report.title)}}}\n{inputs}\n\\end{{document}}\n"
    )
    return files


def escape(text: str) -> str:
    """A text that LaTeX sets as it is; what T1 fonts have not is named by its code point."""
    plain = " ".join(clean(text).split())
    return "".join(_character(one) for one in unicodedata.normalize("NFC", plain))


def _character(one: str) -> str:
    if one in _SPECIAL:
        return _SPECIAL[one]
    if " " <= one <= "~":
        return one
    # Latin letters with accents are what inputenc and T1 know; combining marks they are not.
    if "\u00c0" <= one <= "\u017e" and one not in "×÷ĦħĸŁłŉŊŋŦŧ":
        try:
            base = unicodedata.normalize("NFD", one)[0]
        except (TypeError, IndexError):
            base = ""
        if base.isascii() or one in "ÆÐØÞßæðøþĐđŒœ":
            return one
    return f"{{[}}U+{ord(one):04X}{{]}}"


def _table(table: Table) -> str:
    wide = len(table.columns) > WIDE
    kind = "table*" if wide else "table"
    layout = "".join("r" if column.numeric else "l" for column in table.columns)
    heads = [escape(column.title) for column in table.columns]
    lines = [_line(heads), r"\midrule"]
    rules = _rules(table)
    for index, row in enumerate(table.rows):
        if index in rules:
            lines.append(r"\midrule")
        lines.append(_line([_cell(cell) for cell in row]))
    body = "\n".join(
        [f"\\begin{{tabular}}{{{layout}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"]
    )
    if wide:
        body = f"\\resizebox{{\\textwidth}}{{!}}{{%\n{body}%\n}}"
    legend = "".join(f" {_sign(sign)} {escape(meaning)}." for sign, meaning in table.legend)
    return (
        f"\\begin{{{kind}}}[t]\n\\centering\n"
        f"\\caption{{{escape(table.title)}: {escape(table.caption)}{legend}}}\n"
        f"\\label{{tab:{table.name}}}\n{body}\n\\end{{{kind}}}\n"
    )


def _rules(table: Table) -> set[int]:
    """Rows before which a rule separates two groups."""
    rules, start = set(), 0
    for size in table.groups:
        start += size
        rules.add(start)
    return rules - {0, len(table.rows)}


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.text in ("", "-"):
        text = "{--}"
    elif cell.value is not None and cell.text.startswith("-"):
        text = f"$-${escape(cell.text[1:])}"
    if cell.mark == "best":
        text = f"\\textbf{{{text}}}"
    elif cell.mark == "second":
        text = f"\\underline{{{text}}}"
    return text + "".join(_sign(sign) for sign in cell.signs)


def _sign(sign: str) -> str:
    return f"\\textsuperscript{{{_SIGNS.get(sign, escape(sign))}}}"
