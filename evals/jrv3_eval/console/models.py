"""Families of rerankers and their settings, as tables for a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .table import open_console, print_table

_OWN_PACKAGE = "jrv3-eval"


def print_models(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of reranker families as `jrv3-eval models --json` has them; then broken plugins."""
    console = open_console()
    cells = [
        (
            row["family"],
            row["models"],
            row.get("needs") or "-",
            "yes" if row["listwise"] else "no",
            _shown_extra(row),
        )
        for row in rows
        if not row.get("fault")
    ]
    columns = dict.fromkeys(("family", "what it runs", "TARGET is", "listwise", "extra"), False)
    print_table(console, columns, cells)
    for row in rows:
        if row.get("fault"):
            console.print(f"cannot be used: {row['family']}: {row['fault']}", soft_wrap=True)


def print_family(row: Mapping[str, Any]) -> None:
    """One family as `jrv3-eval models show FAMILY --json` has it: a line each, its settings."""
    console = open_console()
    for line in (
        f"{row['family']}: {row['models']}",
        f"--model {row['family']}:TARGET, where TARGET is {row['needs']}",
        f"listwise: {'yes' if row['listwise'] else 'no'}; extra: {_shown_extra(row)}",
    ):
        console.print(line, soft_wrap=True)
    cells = [
        (
            setting["name"],
            setting["values"],
            "(required)" if setting["required"] else _shown_default(setting["default"]),
            setting["description"] or "-",
        )
        for setting in row["settings"]
    ]
    columns = dict.fromkeys(("--set", "values", "default", "meaning"), False)
    print_table(console, columns, cells)


def _shown_extra(row: Mapping[str, Any]) -> str:
    if not row["extra"]:
        return "-"
    state = "" if row.get("installed", True) is not False else " (not installed)"
    return f"{row.get('package') or _OWN_PACKAGE}[{row['extra']}]{state}"


def _shown_default(value: object) -> str:
    """As `--set` would be given it: none, true, 0.5; a text as it stands, "" if it is empty."""
    if isinstance(value, str):
        return value if value.strip() == value and value else json.dumps(value, ensure_ascii=False)
    return "none" if value is None else json.dumps(value)
