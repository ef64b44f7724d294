"""Tables that a paper takes in with \\input: booktabs, best in bold, second underlined."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate

from .model import Cell, Report, Table

WIDE = 8  # columns; a wider table spans both columns of a page
# Printed characters at most: TeX sets a caption and a row in one line first, and a line of more
# than 16383 points, some 1400 wide letters, stops it.
CELL, ROW = 100, 1200
PROTOCOL, LEGEND = 500, 900
SIGN = 8
TOGETHER = 10  # floats that LaTeX holds at a time; it has few places for them

_NEEDS = (
    "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}; for letters beyond ASCII also\n"
    "% UTF-8 input and \\usepackage[T1]{fontenc}.\n"
)
_PREAMBLE = r"""%% All tables in one document that compiles by itself with pdflatex.
\documentclass[a4paper]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[margin=2cm%s]{geometry}
\setlength{\abovecaptionskip}{0pt}
\setlength{\belowcaptionskip}{6pt}
\makeatletter
\setlength{\@fptop}{0pt}
\setlength{\@fpsep}{24pt}
\makeatother
\pagestyle{myheadings}
"""
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
    # By number: its name is unknown to fonts other than T1, and some languages make it a command.
    '"': r"\symbol{34}",
    "`": r"\`{}",
    # At the start of a row these two would be arguments of the row's end before it.
    "[": "{[}",
    "*": "{*}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "‐": "-",
    "‑": "-",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "·": r"\textperiodcentered{}",
    "°": r"$^{\circ}$",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "←": r"$\leftarrow$",
    "↑": r"$\uparrow$",
    "→": r"$\rightarrow$",
    "↓": r"$\downarrow$",
    "↔": r"$\leftrightarrow$",
    "⟨": r"$\langle$",
    "⟩": r"$\rangle$",
    "Δ": r"$\Delta$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "µ": r"$\mu$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
}
_SIGNS = {"*": r"$\ast$", "†": r"$\dagger$", "‡": r"$\ddagger$", "§": r"\S"}
# Letters that inputenc and T1 know as they are; other accented ones are built of these marks.
_LETTERS = {chr(code) for code in range(0xC0, 0x100)} - {"×", "÷"} | set("ĐđĲĳıŁłŊŋŒœ")
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
    "\u0328": "k",
    "\u0331": "b",
}
_BELOW = "\u0323\u0327\u0328\u0331"
# A minus, not the hyphen of a name or of a range.
_MINUS = re.compile(r"(?<![\w.-])-(?=\.?\d)")
# Two of these in a row would become one sign: a dash, a quote.
_LIGATURE = re.compile(r"([-,'])(?=\1)")


def render_latex(report: Report) -> dict[str, str]:
    """File name -> content: one file a paper's table, and `tables.tex`, which sets them all.

    Texts are set as they are and command nothing. The same report gives the same files.
    """
    tables = [table for section in report.sections for table in section.tables if table.paper]
    stems = _stems(tables)
    files = {
        f"{stem}.tex": _NEEDS + _table(table, stem)
        for stem, table in zip(stems, tables, strict=True)
    }
    inputs = [f"\\input{{{stem}.tex}}\n" for stem in stems]
    batches = [
        "".join(inputs[start : start + TOGETHER]) for start in range(0, len(inputs), TOGETHER)
    ]
    landscape = ",landscape" if any(len(table.columns) > WIDE for table in tables) else ""
    files["tables.tex"] = (
        f"{_PREAMBLE % landscape}\\begin{{document}}\n\\markright{{{escape(report.title, CELL)}}}\n"
        + ("\\clearpage\n".join(batches) or "No tables.\n")
        + "\\end{document}\n"
    )
    return files


def escape(text: str, limit: int | None = None) -> str:
    """A text that LaTeX sets as it is; what T1 fonts have not is named by its code point.

    limit: how many characters to print at most.
    """
    printed, pieces = 0, []
    for piece, width in _pieces(" ".join(text.split())):
        printed += width
        if limit is not None and printed > limit:
            pieces.append(r"\ldots{}")
            break
        pieces.append(piece)
    return _LIGATURE.sub(r"\1{}", "".join(pieces))


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """What each character is written as, with the number of characters it prints."""
    for one in unicodedata.normalize("NFC", text):
        if one in _SPECIAL:
            yield _SPECIAL[one], 1
        elif " " <= one <= "~" or one in _LETTERS:
            yield one, 1
        elif built := _accented(one):
            yield built, 1
        else:
            named = f"[U+{ord(one):04X}]"
            yield "{[}" + named[1:], len(named)


def _accented(one: str) -> str:
    """A letter built of an ASCII letter and its marks; nothing where that cannot be done."""
    base, *marks = list(unicodedata.normalize("NFD", one))
    if not (base.isascii() and base.isalpha() and marks and all(m in _ACCENTS for m in marks)):
        return ""
    dotted = base in "ij" and any(mark not in _BELOW for mark in marks)
    written = f"\\{base}" if dotted else base
    for mark in marks:
        written = f"\\{_ACCENTS[mark]}{{{written}}}"
    return written


def _stems(tables: Sequence[Table]) -> list[str]:
    """Names for files and labels: plain, and each given once, whatever letters' case is worth."""
    taken, stems = {"tables"}, []
    for table in tables:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", table.name).strip("-._")[:60] or "table"
        stem, number = plain, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.lower())
        stems.append(stem)
    return stems


def _table(table: Table, stem: str) -> str:
    """The float: caption, label, and the tabular, shrunk only where the page is narrower."""
    wide = len(table.columns) > WIDE
    kind, spacing = ("table*", "\\setlength{\\tabcolsep}{4pt}\n") if wide else ("table", "")
    layout = "".join("r" if column.numeric and i else "l" for i, column in enumerate(table.columns))
    signs, limit = _signs(table), min(CELL, ROW // max(1, len(table.columns)))
    lines = [_line([escape(column.title, limit) for column in table.columns]), r"\midrule"]
    rules = set(accumulate(table.groups)) - {0, len(table.rows)}
    for index, row in enumerate(table.rows):
        if index in rules:
            lines.append(r"\midrule")
        columns = zip(row, table.columns, signs, strict=True)
        cells = [_cell(cell, column.numeric, own, limit) for cell, column, own in columns]
        lines.append(_line(cells))
    body = "\n".join(
        [f"\\begin{{tabular}}{{{layout}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"]
    )
    return (
        f"\\begin{{{kind}}}[t]\n\\centering\n\\caption{{{_caption(table)}}}\n"
        f"\\label{{tab:{stem}}}\n{spacing}"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"{body}%\n}}\n\\end{{{kind}}}\n"
    )


def _caption(table: Table) -> str:
    title, protocol = escape(table.title, CELL), _sentence(escape(table.caption, PROTOCOL))
    share = LEGEND // max(1, len(table.legend))
    legend = (
        f"{_sign(sign)} {_sentence(escape(meaning, share))}" for sign, meaning in table.legend
    )
    return " ".join(part for part in (title and f"{title}:", protocol, *legend) if part)


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?", r"\ldots{}")) else f"{text}."


def _signs(table: Table) -> list[list[str]]:
    """The signs in use in each column, in the legend's order."""
    order = {sign: index for index, (sign, _) in enumerate(table.legend)}
    columns: list[dict[str, None]] = [{} for _ in table.columns]
    for row in table.rows:
        for cell, own in zip(row, columns, strict=True):
            own.update(dict.fromkeys(cell.signs))
    return [sorted(own, key=lambda sign: order.get(sign, len(order))) for own in columns]


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell, numeric: bool, signs: Sequence[str], limit: int) -> str:
    """A cell; in a column of numbers, room for the signs it has not keeps the digits aligned."""
    number = numeric or cell.value is not None
    text = escape(_MINUS.sub("−", cell.text) if number else cell.text, limit)
    if text in ("", "-", r"\textendash{}", r"\textemdash{}", "$-$"):
        text = "--"
    elif cell.mark == "best":
        text = f"\\textbf{{{text}}}"
    elif cell.mark == "second":
        text = f"\\underline{{{text}}}"
    shown = "".join(_sign(sign) for sign in cell.signs)
    room = "".join(_sign(sign) for sign in signs if sign not in cell.signs) if numeric else ""
    return text + shown + (f"\\phantom{{{room}}}" if room else "")


def _sign(sign: str) -> str:
    return f"\\textsuperscript{{{_SIGNS.get(sign) or escape(sign, SIGN)}}}"
