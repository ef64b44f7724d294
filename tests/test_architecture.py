"""Imports point one way: a room imports only from the rooms above it."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "evals" / "jrv3_eval"
TABLE = Path(__file__).parents[1] / "docs" / "architecture.md"
LONGEST = 400


def rooms() -> dict[str, int]:
    """Room -> its row in the table of docs/architecture.md, from the top."""
    found: dict[str, int] = {}
    for row, line in enumerate(TABLE.read_text().splitlines()):
        if line.startswith("| `"):
            for name in line.split("|")[1].split(","):
                found[name.strip().strip("`")] = row
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a module imports, relatively or by the package's name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = parts[: len(parts) - node.level]
            target = [*base, *(node.module.split(".") if node.module else [])]
        elif node.module and node.module.startswith("jrv3_eval"):
            target = node.module.split(".")[1:]
        else:
            continue
        found |= {target[0]} if target else {alias.name for alias in node.names}
    return found - {"__version__"}


def modules() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE or "__" not in p.name]


def test_every_module_lives_in_a_room_of_the_table() -> None:
    assert {room_of(path) for path in modules()} == set(rooms())


def test_imports_point_upwards() -> None:
    order = rooms()
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in modules()
        for other in imported_rooms(path)
        if order[other] > order[room_of(path)]
    ]
    assert not wrong


def test_modules_stay_short() -> None:
    long = [p.name for p in modules() if len(p.read_text().splitlines()) > LONGEST]
    assert not long
