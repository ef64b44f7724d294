"""What a report holds, before it is Markdown, LaTeX or a page: tables, figures, queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..compare import MovedQuery as ShownQuery
from ..compare import ShownDocument

Mark = Literal["", "best", "second"]


@dataclass(frozen=True)
class Cell:
    """One cell. text: as shown. value: what sorts it, None for words and for no value.

    mark: whether it is the best or second best of its column. signs: short superscripts that
    the table's legend explains, such as `*` or `†`.
    """

    text: str
    value: float | None = None
    mark: Mark = ""
    signs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds numbers."""

    title: str
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A table. name: one plain word for files and anchors. caption: states the protocol.

    legend: sign -> what it means. paper: whether it is one of a paper's tables (LaTeX has
    these only). groups: number of leading rows of each group that a rule separates.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    legend: tuple[tuple[str, str], ...] = ()
    paper: bool = False
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A figure. svg: the whole file, as text. description: for who cannot see it."""

    name: str
    title: str
    description: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A heading with what belongs under it. lines: paragraphs of plain text."""

    name: str
    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole report. lead: what it rests on, a line each. Texts are plain, never markup."""

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]
    queries: tuple[ShownQuery, ...] = ()


__all__ = [
    "Cell",
    "Column",
    "Figure",
    "Mark",
    "Report",
    "Section",
    "ShownDocument",
    "ShownQuery",
    "Table",
]
