"""The example of docs/adding-a-reranker.md, installed by pip and run as its page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tests" / "example_reranker"
PAGE = (ROOT / "docs" / "adding-a-reranker.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- file: (?P<name>\S+) -->\n```\w*\n(?P<body>.*?)```", re.S)

Run = Callable[..., str]


def files(folder: Path) -> dict[str, str]:
    """Every file of a folder but compiled modules, with its text."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip installs it, without a network."""
    target = tmp_path_factory.mktemp("site")
    before = files(PACKAGE)
    options = "--quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check"
    command = [sys.executable, "-m", "pip", "install", *options.split(), "--target", str(target)]
    done = subprocess.run([*command, str(PACKAGE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert files(PACKAGE) == before, "building leaves nothing behind"
    return target


@pytest.fixture
def python(site: Path, tmp_path: Path) -> Run:
    """Run `python ARGUMENTS` where the package is installed; returns what it printed."""
    variables = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, **variables},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_page_shows_the_files_literally() -> None:
    shown = {match["name"]: match["body"] for match in BLOCK.finditer(PAGE)}
    written = files(PACKAGE)
    assert set(shown) == set(written)
    for name, body in shown.items():
        assert body == written[name], name


def test_it_is_listed_with_its_settings(python: Run) -> None:
    families = json.loads(python("-m", "jrv3_eval", "models", "--json"))
    assert {"bi-encoder", "overlap"} <= {row["family"] for row in families}
    shown = json.loads(python("-m", "jrv3_eval", "models", "show", "overlap", "--json"))
    assert (shown["package"], shown["needs"]) == ("overlap-reranker", "words or trigrams")
    assert (shown["extra"], shown["installed"], shown["fault"]) == (None, True, None)
    assert shown["settings"][0] == {
        "name": "once",
        "values": "true or false",
        "required": False,
        "default": False,
        "description": "count once what a text repeats",
    }


def test_a_second_evaluation_makes_no_model_call(python: Run, tasks_dir: Path) -> None:
    def evaluate(*more: str) -> dict[str, Any]:
        suite = ("zoo", "--tasks-dir", tasks_dir, "--model", "overlap:words")
        [record] = json.loads(python("-m", "jrv3_eval", *suite, "--json", *more))
        return dict(record)

    first, second = evaluate(), evaluate()
    assert (first["reranker"]["family"], first["reranker"]["name"]) == ("overlap", "overlap-words")
    assert (first["cost"]["model_calls"], first["cost"]["cached"]) == (1, 0)
    assert (second["cost"]["model_calls"], second["cost"]["cached"]) == (0, 3)
    # q1 "cat on a mat" finds the cat before the dog, though the dog is judged the better one.
    assert second["metrics"] == first["metrics"]
    assert 0 < first["metrics"]["ndcg@10"] < 1


def test_its_own_tests_pass(python: Run, tmp_path: Path) -> None:
    copied = shutil.copy(PACKAGE / "check_overlap.py", tmp_path)
    assert "5 passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", copied)
