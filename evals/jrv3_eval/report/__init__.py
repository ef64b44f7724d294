"""Reports from stored results: Markdown, LaTeX, figures and one self-contained page."""

from .assembling import ReportOptions, build_report
from .model import Cell, Column, Figure, Report, Section, ShownDocument, ShownQuery, Table
from .writing import FORMATS, write_report

__all__ = [
    "FORMATS",
    "Cell",
    "Column",
    "Figure",
    "Report",
    "ReportOptions",
    "Section",
    "ShownDocument",
    "ShownQuery",
    "Table",
    "build_report",
    "write_report",
]
