"""Reading published tables: those that ship, a file in the same schema, or mteb's result files."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import DataError
from ..paths import shipped
from .mteb_files import is_mteb_result, read_mteb_results
from .schema import PublishedTable


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """The tables that ship with the package, by name."""
    return tuple(read_table(path) for path in sorted(shipped("published").glob("*.json")))


def read_published(place: Path) -> tuple[PublishedTable, ...]:
    """Tables of a file or of all files under a folder: our schema, or mteb's result JSON.

    Files of mteb may be gzipped; those of one model and suite become one table. Raises
    DataError where nothing is there or a file is neither.
    """
    if not place.exists():
        raise DataError(
            "There is no such published file or folder.",
            where=str(place),
            next_step="name a table of this project's schema, or a result JSON of mteb",
        )
    files = [place] if place.is_file() else _json_files(place)
    tables, results = [], []
    for file in files:
        content = load_json(file)
        if is_mteb_result(content):
            results.append((file, content))
        elif isinstance(content, dict) and "rows" in content:
            tables.append(read_table(file))
        elif place.is_file():
            raise DataError(
                "The file is neither a published table nor a result of mteb.",
                where=str(place),
                next_step="results/published shows the schema of a table",
            )
    tables.extend(read_mteb_results(results))
    if not tables:
        raise DataError(
            "There is no published value of a task that this package knows.",
            where=str(place),
            next_step="jrv3-eval tasks lists the tasks",
        )
    return tuple(tables)


def read_table(path: Path) -> PublishedTable:
    """A table in this project's schema. Raises DataError naming file and field."""
    content = load_json(path)
    try:
        return PublishedTable.model_validate({**content, "name": path.name.partition(".json")[0]})
    except (ValidationError, TypeError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else {"msg": str(error)}
        field = ".".join(map(str, reason.get("loc", ())))
        raise DataError(
            f"The published table is not valid: {field} {reason['msg']}",
            where=str(path),
            next_step="results/published shows the schema of a table",
        ) from None


def load_json(path: Path) -> Any:
    """The content of a JSON file, gzipped or not. Raises DataError where it is none."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return json.loads(content)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"The file is not JSON: {error}", where=str(path)) from None


def _json_files(folder: Path) -> list[Path]:
    return sorted(
        file
        for pattern in ("*.json", "*.json.gz")
        for file in folder.rglob(pattern)
        if not file.name.startswith("model_meta.json")
    )
