"""What the terminal shows: whole numbers, names as they are, errors without a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Cli
from jrv3_eval.cards import Suite, TaskCard
from jrv3_eval.console import print_models, print_results, print_tasks
from jrv3_eval.record import TaskResult

Capture = pytest.CaptureFixture[str]
NUMBERS = ("300", "0.6863", "0.7312", "+0.0449 [+0.0211, +0.0687]", "0.9123", "19.9%")


def result(task: str = "scifact", model: str = "MiniLM", repeated: int = 0) -> TaskResult:
    means = {"ndcg@10": 0.6863, "recall@100": 0.9}
    return TaskResult.from_json(
        {
            "schema": 1,
            "suite": "beir",
            "task": task,
            "language": "en",
            "dataset": {
                "fingerprint": "f" * 64,
                "revision": None,
                "split": "test",
                "documents": 5183,
                "queries": 300,
                "judgements": 339,
                "missing_judged": 0,
                "duplicate_documents": repeated,
                "empty_documents": 0,
            },
            "primary_metric": "ndcg@10",
            "limit": None,
            "order": "first-stage",
            "candidates": {
                "first_stage": "bm25",
                "settings": {},
                "depth": 100,
                "hash": "c" * 64,
                "documents": 30_000,
                "empty": 0,
                "metrics": means,
                "oracle": {"ndcg@10": 0.9123},
            },
            "reranker": {
                "name": model,
                "family": "cross-encoder",
                "listwise": False,
                "revision": None,
                "weights": None,
                "settings": {},
            },
            "metrics": {"ndcg@10": 0.7312},
            "interval": {},
            "difference": {"ndcg@10": {"value": 0.0449, "low": 0.0211, "high": 0.0687}},
            "headroom": 0.199,
            "ties": {"queries": 0.0, "lowest": 0.7, "highest": 0.7},
            "truncated": {"documents": 0.0, "queries": 0.0},
            "cost": {
                "seconds": 1.0,
                "documents_per_s": None,
                "tokens_per_s": None,
                "latency_ms": {"p50": None, "p95": None},
                "peak_memory_bytes": 1,
                "model_calls": 1,
                "cached": 0,
            },
            "environment": {
                "versions": {},
                "hardware": {},
                "command": "",
                "seed": 0,
                "started": "",
            },
        }
    )


def terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))


def printed(capsys: Capture) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 110, 120, 200])
def test_no_number_is_cut(monkeypatch: pytest.MonkeyPatch, capsys: Capture, width: int) -> None:
    terminal(monkeypatch, width)
    long = "a-model-with-a-long-name-of-no-words"
    print_results([result(), result(model=long)], Path("out"))
    shown = printed(capsys)
    for number in NUMBERS:
        assert shown.count(number) == 2
    assert "…" not in shown
    table = [line for line in shown.splitlines() if line.startswith(("┏", "┃", "│", "└"))]
    assert all(len(line) <= width for line in table)
    assert bool(table) == (width >= 110)  # else a block a row


def test_a_folded_name_is_whole(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    terminal(monkeypatch, 112)
    name = "a-model-with-a-long-name-of-no-words"
    print_results([result(model=name)], Path("out"))
    rows = [line.split("│") for line in printed(capsys).splitlines() if line.startswith("│")]
    assert len(rows) > 1
    assert "".join(row[3].strip() for row in rows) == name


def test_a_block_names_model_task_and_every_value(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    terminal(monkeypatch, 60)
    print_results([result()], Path("out"))
    assert printed(capsys).startswith(
        "beir  (ndcg@10)\n"
        "scifact, MiniLM\n"
        "  queries: 300\n"
        "  first stage: 0.6863\n"
        "  reranked: 0.7312\n"
        "  difference [95 %]: +0.0449 [+0.0211, +0.0687]\n"
        "  oracle: 0.9123\n"
        "  headroom: 19.9%\n"
    )


def test_tasks_and_models_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    terminal(monkeypatch, 40)
    card = TaskCard.model_validate({"name": "one", "counts": {"documents": 1_234_567}})
    print_tasks([Suite(suite="mine", title="t", tasks=(card,))])
    assert "mine, one, en, ndcg@10\n" in (shown := printed(capsys))
    assert "  documents: 1,234,567\n" in shown
    print_models([{"family": "f", "models": "m", "listwise": False, "extra": "dense"}])
    assert "jrv3-eval[dense]" in printed(capsys)


@pytest.mark.parametrize("width", [None, 60])
def test_names_are_printed_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, width: int | None
) -> None:
    if width:
        terminal(monkeypatch, width)
    print_results([result(task="a[b]", model="ck[v2]:cat:")], Path("out[/b]"))
    shown = printed(capsys)
    for text in ("a[b]", "ck[v2]:cat:", "records: out[/b]/"):
        assert text in shown


def test_remarks_count_repeated_documents_once_a_task(capsys: Capture) -> None:
    print_results([result(repeated=40), result(model="other", repeated=40)], Path("out"))
    shown = printed(capsys)
    assert shown.count("scifact: 40 documents repeat the text of another") == 1
    print_results([result()], Path("out"))
    assert "repeat" not in printed(capsys)


# --- output that cannot be written


def command(arguments: str, output: str) -> subprocess.CompletedProcess[str]:
    line = f"{sys.executable} -m jrv3_eval {arguments} {output}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("arguments", ["--version", "tasks", "tasks --json"])
def test_a_full_disk_behind_stdout(arguments: str) -> None:
    done = command(arguments, "> /dev/full")
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device\n"


def test_a_closed_pipe_ends_quietly() -> None:
    assert command("tasks --json", "| true").stderr == ""


def test_an_unforeseen_oserror_names_its_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr("jrv3_eval.cards.load_suite", fail)
    done = cli("tasks")
    assert (done.code, done.err) == (2, "error: Permission denied: /some/file\n")
