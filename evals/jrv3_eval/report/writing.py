"""A report on disk: Markdown, LaTeX, figures and a page, each whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..paths import atomic_path
from .figures import Plot, figure_files
from .model import Report

FORMATS = ("md", "latex", "html")


def write_report(
    report: Report, plots: Sequence[Plot], to: Path, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write the formats under a folder; returns the files. The same report, the same bytes."""
    content: dict[str, bytes] = {}
    if {"md", "latex"} & set(formats):
        drawn = (figure for section in report.sections for figure in section.figures)
        content |= {f"figures/{one.name}.svg": one.svg.encode("utf-8") for one in drawn}
    if "latex" in formats:
        printed = figure_files(plots, ("pdf", "png"))
        content |= {f"figures/{name}": data for name, data in printed.items()}
    if "md" in formats:
        from .markdown import render_markdown

        paths = {plot.name: f"figures/{plot.name}.svg" for plot in plots}
        content["report.md"] = render_markdown(report, paths).encode("utf-8")
    if "latex" in formats:
        from .latex import render_latex

        tables = render_latex(report)
        content |= {f"latex/{name}": text.encode("utf-8") for name, text in tables.items()}
    if "html" in formats:
        from .page import render_page

        content["report.html"] = render_page(report).encode("utf-8")
    _remove_earlier(to)
    written = []
    for name, data in content.items():
        path = to / name
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        written.append(path)
    return written


def _remove_earlier(to: Path) -> None:
    """An earlier report's files, which would else stand beside this one's."""
    for pattern in ("report.md", "report.html", "latex/*.tex", "figures/*.*"):
        for path in to.glob(pattern):
            if path.suffix in (".md", ".html", ".tex", ".svg", ".pdf", ".png"):
                path.unlink()
