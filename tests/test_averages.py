"""Suite averages: as the source defines them, and none over an incomplete list."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Cli
from jrv3_eval import evaluate
from jrv3_eval.averages import suite_averages
from jrv3_eval.cards import load_suite
from jrv3_eval.record import TaskResult

CARD = """\
suite: zoo
title: Three tiny tasks and two forums
default: [a, b, f1, f2]
averages:
  - {name: forums, members: [f1, f2], source: "the forums' own table"}
  - {name: all, members: [a, b, forums], source: "the paper, table 1"}
tasks:
"""
TASK = "  - {name: NAME, sources: [{kind: folder, path: ../data/animals}]}\n"


@pytest.fixture
def suite_dir(tasks_dir: Path) -> Path:
    """A suite whose average counts the mean of two forums as one member."""
    tasks = "".join(TASK.replace("NAME", name) for name in ("a", "b", "f1", "f2", "extra"))
    (tasks_dir / "zoo.yaml").write_text(CARD + tasks)
    return tasks_dir


def with_score(result: TaskResult, score: float) -> TaskResult:
    return result.model_copy(update={"metrics": {**result.metrics, "ndcg@10": score}})


def run(tasks_dir: Path, tmp_path: Path, tasks: list[str] | None = None) -> list[TaskResult]:
    return evaluate(
        "zoo", "none", tasks=tasks or (), tasks_dir=tasks_dir, results=tmp_path / "results"
    )


def test_a_member_that_is_an_average_counts_once(suite_dir: Path, tmp_path: Path) -> None:
    results = run(suite_dir, tmp_path)
    assert [result.task for result in results] == ["a", "b", "f1", "f2"]
    scored = [with_score(r, s) for r, s in zip(results, (0.1, 0.2, 0.5, 0.7), strict=True)]
    forums, everything = suite_averages(load_suite("zoo", suite_dir), scored)
    assert (forums.name, forums.reranked) == ("forums", pytest.approx(0.6))
    assert (everything.name, everything.reranked) == ("all", pytest.approx(0.3))
    assert everything.tasks == 4
    assert everything.complete


def test_an_incomplete_average_has_no_value_and_names_what_is_missing(
    suite_dir: Path, tmp_path: Path
) -> None:
    results = run(suite_dir, tmp_path, ["a", "f2"])
    suite = load_suite("zoo", suite_dir)
    forums, everything = suite_averages(suite, results)
    assert (forums.missing, forums.reranked) == (("f1",), None)
    assert (everything.missing, everything.oracle) == (("b", "f1"), None)
    scored = [with_score(r, s) for r, s in zip(results, (0.1, 0.5), strict=True)]
    partial = suite_averages(suite, scored, partial=True)
    assert [row.reranked for row in partial] == [pytest.approx(0.5), pytest.approx(0.3)]
    assert [row.missing for row in partial] == [("f1",), ("b", "f1")]


def test_models_and_limits_are_never_averaged_together(suite_dir: Path, tmp_path: Path) -> None:
    results = evaluate(
        "zoo", ["none", "oracle"], tasks=["f1", "f2"], tasks_dir=suite_dir, results=tmp_path / "r"
    )
    rows = suite_averages(load_suite("zoo", suite_dir), results)
    assert [(row.model, row.name) for row in rows if row.complete] == [
        ("none", "forums"),
        ("oracle", "forums"),
    ]
    limited = [results[0].model_copy(update={"limit": 2}), results[2]]
    [row, *_] = suite_averages(load_suite("zoo", suite_dir), limited)
    assert (row.complete, row.limited) == (True, True)


def test_a_name_of_an_average_stands_for_its_tasks(cli: Cli, suite_dir: Path) -> None:
    done = cli("zoo", "--tasks-dir", suite_dir, "--tasks", "forums", "--model", "none")
    assert done.code == 0, done.err
    assert "mean of 2: forums" in done.out
    assert "no average all: 2 of 4 tasks have no result" in done.out


def test_a_partial_average_must_be_asked_for(cli: Cli, suite_dir: Path) -> None:
    command = ("zoo", "--tasks-dir", suite_dir, "--tasks", "a,b", "--model", "none")
    refused = cli(*command)
    assert "mean of 2" not in refused.out
    assert "--partial-average" in refused.out
    asked = cli(*command, "--partial-average")
    assert "mean of 2 of 4 tasks: all" in asked.out
    assert "all is incomplete; missing: f1, f2" in asked.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("averages: [{name: m, members: [gone], source: x}]", "names what is not there: gone"),
        ("averages: [{name: a, members: [a], source: x}]", "average named twice: a"),
        ("averages: [{name: m, members: [a, a], source: x}]", "named twice: a"),
        ("averages: [{name: m, members: [a]}]", "source: Field required"),
        ("default: [gone]", "default names what is not there: gone"),
    ],
)
def test_bad_averages_are_refused(cli: Cli, tmp_path: Path, text: str, message: str) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "zoo.yaml").write_text(f"suite: zoo\ntitle: t\n{text}\ntasks: [{{name: a}}]\n")
    done = cli("zoo", "--tasks-dir", folder, "--model", "none")
    assert done.code == 2
    assert message in done.err
