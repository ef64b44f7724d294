"""A table for a terminal, or lines where it is too narrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

FOLDED = 8  # the fewest characters a line that a folded name keeps
UNBOUNDED = 10_000


def open_console() -> Console:
    """Standard output; wide enough not to cut a table where it is no terminal.

    Names and paths may hold brackets and colons, so nothing is read as markup.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=max(console.width, 140))
    return console


def print_table(
    console: Console,
    columns: Mapping[str, bool],
    rows: Sequence[Sequence[str]],
    title: str | None = None,
) -> None:
    """A table, or one block a row where the terminal is too narrow for it.

    columns: name -> whether it holds numbers. Texts may fold; a number is never cut.
    """
    table = Table(title=title, title_justify="left")
    for column, numbers in columns.items():
        table.add_column(
            column, justify="right" if numbers else "left", no_wrap=numbers, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    natural = console.measure(table, options=console.options.update(width=UNBOUNDED)).maximum
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    foldable = sum(
        max(0, width - FOLDED)
        for width, numbers in zip(widths, columns.values(), strict=True)
        if not numbers
    )
    if natural - foldable <= console.width:
        console.print(table)
        return
    if title:
        console.print(title, soft_wrap=True)
    for row in rows:
        cells = list(zip(columns.items(), row, strict=True))
        heading = ", ".join(cell for (_, numbers), cell in cells if not numbers)
        values = [f"  {name}: {cell}" for (name, numbers), cell in cells if numbers]
        console.print("\n".join([heading, *values]), soft_wrap=True)
