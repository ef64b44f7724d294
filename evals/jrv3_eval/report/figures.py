"""Figures: readable in print, in grey, and by colour-blind readers; the same input, the same bytes.

Colours are Okabe and Ito's; a marker or a hatch always says the same as the colour.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from .model import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
Format = Literal["svg", "pdf", "png"]
ROWS = 40  # of one figure
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "jrv3-eval",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "savefig.bbox": "tight",
    "savefig.dpi": 200,
    # A dollar sign in a name is a dollar sign.
    "text.parse_math": False,
}
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Series:
    """Points of one name. low, high: ends of an interval, where there is one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Plot:
    """What a figure shows. kind: `rows` (a dot with its interval in each named row), `bars`
    (parts of a whole in each row), `lines`, or `points`
    with the line of those that no other one beats. ticks: names of rows."""

    name: str
    title: str
    description: str
    kind: Literal["rows", "bars", "lines", "points"]
    series: Sequence[Series]
    x_label: str
    y_label: str = ""
    ticks: Sequence[str] = ()
    log_x: bool = False


def draw(plot: Plot) -> Figure:
    """The figure as SVG, ready for a page."""
    return Figure(
        name=plot.name,
        title=plot.title,
        description=plot.description,
        svg=save(plot, "svg").decode("utf-8"),
    )


def save(plot: Plot, form: Format) -> bytes:
    """The figure's bytes in one format."""
    with _styled():
        figure = _figure(plot)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, metadata=_METADATA[form])
    return buffer.getvalue()


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A name in a script that the font has not is drawn as boxes; the tables have it right.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        yield


def _figure(plot: Plot) -> Any:
    from matplotlib.figure import Figure as Canvas

    lines = max(1, len(plot.series) / 3) if plot.kind == "rows" else 1
    height = 0.9 + 0.32 * max(3, len(plot.ticks) * lines)
    if plot.kind in ("lines", "points"):
        height = max(2.6, 0.2 * len(plot.series))
    figure = Canvas(figsize=(7.0, height))
    axes = figure.add_subplot()
    {"rows": _rows, "bars": _bars, "lines": _lines, "points": _points}[plot.kind](axes, plot)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    if plot.log_x:
        from matplotlib.ticker import FuncFormatter

        axes.set_xscale("log")
        for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            axis(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.tick_params(axis="x", which="both", labelsize=7, rotation=45)
    if len(plot.series) > 1 or plot.kind == "bars":
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    return figure


def _rows(axes: Any, plot: Plot) -> None:
    count = len(plot.series)
    for index, one in enumerate(plot.series):
        shift = (index - (count - 1) / 2) * 0.7 / max(1, count)
        y = [row + shift for row in one.y]
        if one.low is not None and one.high is not None:
            axes.hlines(y, one.low, one.high, color=_colour(index), linewidth=1.2)
        axes.plot(
            one.x,
            y,
            linestyle="none",
            marker=_marker(index),
            markersize=4.5,
            color=_colour(index),
            markerfacecolor="white" if one.low is None else _colour(index),
            label=_short(one.name),
        )
    _name_rows(axes, plot)


def _bars(axes: Any, plot: Plot) -> None:
    left = [0.0] * len(plot.ticks)
    for index, one in enumerate(plot.series):
        axes.barh(
            list(one.y),
            list(one.x),
            left=left,
            height=0.6,
            color=("#999999", "#D55E00", COLOURS[0], "#FFFFFF")[index % 4],
            edgecolor="black",
            linewidth=0.6,
            hatch=("", "xxx", "///", "")[index % 4],
            label=_short(one.name),
        )
        left = [before + part for before, part in zip(left, one.x, strict=True)]
    _name_rows(axes, plot)
    axes.set_xlim(left=0)


def _name_rows(axes: Any, plot: Plot) -> None:
    axes.set_yticks(range(len(plot.ticks)), [_short(name) for name in plot.ticks])
    axes.set_ylim(len(plot.ticks) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _lines(axes: Any, plot: Plot) -> None:
    for index, one in enumerate(plot.series):
        axes.plot(
            one.x,
            one.y,
            marker=_marker(index),
            markersize=4.5,
            color=_colour(index),
            linestyle=("-", "--", ":", "-.")[index % 4],
            label=_short(one.name),
        )
    if plot.ticks:
        axes.set_xticks(range(len(plot.ticks)), [_short(name) for name in plot.ticks])


def _points(axes: Any, plot: Plot) -> None:
    for index, one in enumerate(plot.series):
        axes.plot(
            one.x,
            one.y,
            linestyle="none",
            marker=_marker(index),
            color=_colour(index),
            label=_short(one.name),
        )
    best = sorted(
        (x, y)
        for one in plot.series
        for x, y in zip(one.x, one.y, strict=True)
        if not any(
            (other.x[0] >= x and other.y[0] >= y) and (other.x[0], other.y[0]) != (x, y)
            for other in plot.series
        )
    )
    axes.plot([x for x, _ in best], [y for _, y in best], color="#999999", linewidth=1, zorder=0)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _marker(index: int) -> str:
    # Beyond seven the colours repeat, and with another marker they still differ.
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def _short(name: str) -> str:
    plain = " ".join(name.split())
    plain = f" {plain}" if plain.startswith("_") else plain  # else no legend names it
    return plain if len(plain) <= 40 else plain[:37] + "..."


def figure_files(plots: Sequence[Plot], forms: Sequence[Format]) -> dict[str, bytes]:
    """File name -> bytes of every plot in these formats."""
    return {f"{plot.name}.{form}": save(plot, form) for plot in plots for form in forms}
