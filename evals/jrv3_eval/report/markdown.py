"""A report as Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from urllib.parse import quote

from .model import Cell, Report, Section, ShownQuery, Table
from .page import clean

SHOWN = 10  # queries a task
CLIPPED = 300  # characters of a cell, a heading, a name; prose that states a protocol is whole
_GAP = " ..."

_MARKUP = re.compile(r"[\\`*_{}\[\]<>|#~!&^]")
# What would open a list or be a rule at the start of a line.
_START = re.compile(r"^(\d{0,9})(?=[-+.)](?:[\s-]|$))")
# Mentions, issues, addresses and `:emoji:` codes. GitHub looks for them after backslashes and
# entities have become characters, so that only a character between the parts keeps them text.
# A metric's depth, `ndcg@10`, is none of them and stays.
_ACTIVE = re.compile(
    r"(?<!\w)@|@(?!\d{1,4}(?:[^\w.-]|\.(?!\w)|$))|#(?=\w)|:(?=\S)|\bGH(?=-\d)|www(?=\.)",
    re.IGNORECASE | re.ASCII,
)
_APART = "\u200b"
# These turn the text after them around, out of its cell too.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def render_markdown(report: Report, figures: Mapping[str, str] = {}) -> str:
    """The whole report. figures: a figure's name -> its path, relative to the file.

    Texts stay text: no markup, no mention, no link. The same report gives the same text.
    """
    parts = [f"# {escape(report.title, CLIPPED)}"]
    parts.append("\n".join(f"- {_prose(line)}" for line in report.lead))
    for section in report.sections:
        parts.extend(_section(section, figures))
    if report.queries:
        parts.extend(["## Queries that moved most", *_queries(report.queries)])
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str, limit: int | None = None) -> str:
    """A text that is no markup, mentions nobody, links nowhere and breaks no table.

    limit: how many of its characters to show at most.
    """
    plain = " ".join(_TURNING.sub("\ufffd", clean(text)).split())
    if limit is not None and len(plain) > limit:
        plain = plain[: limit - len(_GAP)] + _GAP
    apart = _ACTIVE.sub(lambda found: found[0] + _APART, plain)
    escaped = _MARKUP.sub(lambda found: "\\" + found[0], apart)
    # A backslash does not keep a dollar sign from opening a formula; a tag before it does.
    return escaped.replace("$", "<span>$</span>").replace(_APART, "&#8203;")


def _prose(line: str) -> str:
    """A text that starts a line."""
    return _START.sub(r"\1\\", escape(line))


def _section(section: Section, figures: Mapping[str, str]) -> list[str]:
    parts = [f"## {escape(section.title, CLIPPED)}"]
    parts.extend(_prose(line) for line in section.lines)
    for table in section.tables:
        parts.extend(_table(table))
    for figure in section.figures:
        if figure.name in figures:
            path = quote(figures[figure.name], errors="replace")
            parts.append(f"### {escape(figure.title, CLIPPED)}")
            parts.append(f"![{escape(figure.description, CLIPPED)}]({path})")
    return parts


def _table(table: Table) -> list[str]:
    lines = [
        _line([escape(column.title, CLIPPED) for column in table.columns]),
        _line([("---:" if column.numeric else "---") for column in table.columns]),
    ]
    starts = set(accumulate(table.groups))  # Markdown has no rules: an empty row parts groups
    for index, row in enumerate(table.rows):
        if index in starts:
            lines.append(_line([" "] * len(table.columns)))
        lines.append(_line([_cell(cell) for cell in row]))
    caption = escape(table.caption)
    legend = "; ".join(f"{_sign(sign)} {escape(meaning)}" for sign, meaning in table.legend)
    return [
        f"### {escape(table.title, CLIPPED)}",
        f"_{caption}_" if caption else "",
        "\n".join(lines),
        legend,
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = escape(cell.text, CLIPPED)
    if text and cell.mark == "best":
        text = f"**{text}**"
    elif text and cell.mark == "second":
        text = f"<ins>{text}</ins>"
    return text + "".join(map(_sign, cell.signs))


def _sign(sign: str) -> str:
    return f"<sup>{escape(sign, CLIPPED)}</sup>"


def _queries(queries: Sequence[ShownQuery]) -> list[str]:
    """A table for each task, in the order in which the tasks first come."""
    tasks: dict[tuple[str, str], list[ShownQuery]] = {}
    for query in queries:
        tasks.setdefault((query.suite, query.task), []).append(query)
    parts = []
    for (suite, task), own in tasks.items():
        shown = own[:SHOWN]
        what = dict.fromkeys((one.metric, one.before_name, one.after_name) for one in shown)
        parts += [
            f"### {escape(f'{suite}/{task}', CLIPPED)}",
            f"_{'; '.join(escape(f'{name}, {old} → {new}') for name, old, new in what)}_",
            "\n".join(
                [
                    _line(["qid", "query", "before → after"]),
                    _line(["---", "---", "---:"]),
                    *map(_query, shown),
                ]
            ),
        ]
    return parts


def _query(query: ShownQuery) -> str:
    text = escape(query.text or "", CLIPPED)
    return _line([escape(query.qid, CLIPPED), text, f"{query.before:.4f} → {query.after:.4f}"])
