"""Shared fixtures: a private cache and results folder, tiny datasets, the real data if present."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

DATA_VARIABLE = "JRV3_EVAL_DATA"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; nothing touches the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("JRV3_EVAL_CACHE", str(folder))
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):  # `--offline` sets them
        before = os.environ.get(variable)
        monkeypatch.setenv(variable, before or "")
        if before is None:
            monkeypatch.delenv(variable)
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real datasets; skips where there is none."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        pytest.skip(f"real datasets: set {DATA_VARIABLE} to their folder")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"{DATA_VARIABLE} names {folder!r}, which is no folder")
    return path.resolve()


def write_beir(
    folder: Path,
    documents: Mapping[str, str],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    split: str = "test",
) -> Path:
    """A dataset in BEIR layout."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = [{"_id": key, "title": "", "text": text} for key, text in documents.items()]
    asked = [{"_id": key, "text": text} for key, text in queries.items()]
    judged = [f"{q}\t{d}\t{r}" for q, docs in qrels.items() for d, r in docs.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(x) + "\n" for x in corpus))
    (folder / "queries.jsonl").write_text("".join(json.dumps(x) + "\n" for x in asked))
    (folder / f"qrels/{split}.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n"
    )
    return folder


DOCUMENTS = {
    "cat": "the cat sat on the mat",
    "dog": "the dog chased the cat up a tree",
    "fox": "a quick brown fox jumps over the lazy dog",
    "sun": "the sun is a star at the centre of the solar system",
    "sea": "the sea is salt water that covers most of the planet",
    "nil": "",
}
QUERIES = {"q1": "cat on a mat", "q2": "brown fox", "q3": "star of the solar system"}
QRELS = {"q1": {"cat": 1, "dog": 2}, "q2": {"fox": 1, "sea": 0}, "q3": {"sun": 1, "gone": 1}}


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Six documents and three queries; one judged document is not in the corpus."""
    return write_beir(tmp_path / "data" / "animals", DOCUMENTS, QUERIES, QRELS)


@pytest.fixture
def tasks_dir(tmp_path: Path, animals: Path) -> Path:
    """A folder with a card for `animals`, as a user would write it."""
    folder = tmp_path / "cards"
    folder.mkdir()
    (folder / "zoo.yaml").write_text(
        "suite: zoo\n"
        "title: A tiny suite\n"
        "tasks:\n"
        "  - name: animals\n"
        "    counts: {documents: 6, queries: 3, judgements: 6}\n"
        "    sources:\n"
        "      - kind: folder\n"
        "        path: ../data/animals\n"
    )
    return folder


Cli = Callable[..., "Outcome"]


class Outcome:
    """What a command printed and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Run a command line in this process, in an empty working folder."""
    from jrv3_eval.cli import main as cli_main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr("sys.argv", ["jrv3-eval", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli_main.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return run
