"""A report as Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .model import Cell, Report, Section, ShownQuery, Table
from .page import clean

SHOWN = 10  # queries a task
CLIPPED = 300
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~!&$^])")
# Mentions, addresses and `:emoji:` codes; a colon before a space is none of them.
_ACTIVE = re.compile(r"(@|:(?!\s|$)|(?<=www)\.)")


def render_markdown(report: Report, figures: Mapping[str, str] | None = None) -> str:
    """The whole report. figures: a figure's name -> its path, relative to the file."""
    paths = figures or {}
    parts = [f"# {escape(report.title)}", "\n".join(f"- {escape(line)}" for line in report.lead)]
    for section in report.sections:
        parts.extend(_section(section, paths))
    if report.queries:
        parts.extend(["## Queries that moved most", *_queries(report.queries)])
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """A text that is no markup, mentions nobody, links nowhere and breaks no table."""
    plain = " ".join(clean(text).split())
    if len(plain) > CLIPPED:
        plain = plain[: CLIPPED - 4] + " ..."
    plain = _MARKUP.sub(r"\\\1", plain)
    # A zero-width joiner would be invisible; an entity shows as the character and links nothing.
    return _ACTIVE.sub(lambda found: f"&#{ord(found[1])};", plain)


def _section(section: Section, figures: Mapping[str, str]) -> list[str]:
    parts = [f"## {escape(section.title)}"]
    parts.extend(escape(line) for line in section.lines)
    for table in section.tables:
        parts.extend(_table(table))
    for figure in section.figures:
        if figure.name in figures:
            parts.append(f"### {escape(figure.title)}")
            parts.append(f"![{escape(figure.description)}]({figures[figure.name]})")
    return parts


def _table(table: Table) -> list[str]:
    rules = [("---:" if column.numeric else "---") for column in table.columns]
    lines = [
        _line([escape(column.title) for column in table.columns]),
        _line(rules),
        *(_line([_cell(cell) for cell in row]) for row in table.rows),
    ]
    legend = "; ".join(f"{escape(sign)} {escape(meaning)}" for sign, meaning in table.legend)
    return [f"### {escape(table.title)}", f"_{escape(table.caption)}_", "\n".join(lines), legend]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.mark == "best":
        text = f"**{text}**"
    elif cell.mark == "second":
        text = f"<u>{text}</u>"
    return text + "".join(f"<sup>{escape(sign)}</sup>" for sign in cell.signs)


def _queries(queries: Sequence[ShownQuery]) -> list[str]:
    parts = []
    for place in dict.fromkeys((query.suite, query.task) for query in queries):
        own = [query for query in queries if (query.suite, query.task) == place][:SHOWN]
        first = own[0]
        lines = [
            _line(["query", escape(first.before_name), escape(first.after_name), "change"]),
            _line(["---", "---:", "---:", "---:"]),
            *(
                _line(
                    [
                        escape(query.text or query.qid),
                        f"{query.before:.4f}",
                        f"{query.after:.4f}",
                        f"{query.after - query.before:+.4f}",
                    ]
                )
                for query in own
            ),
        ]
        title = f"### {escape(place[0])}/{escape(place[1])}, {escape(first.metric)}"
        parts.extend([title, "\n".join(lines)])
    return parts
