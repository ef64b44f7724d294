"""Our means beside printed ones: over the same datasets, or not comparable."""

from __future__ import annotations

from typing import Any

import pytest

from jrv3_eval.cards import load_suite
from jrv3_eval.errors import UsageError
from jrv3_eval.published import (
    Measured,
    beside,
    measured_average,
    measured_task,
    published_tables,
    systems_beside,
)
from literals import result, table

FORUMS = (
    "android", "english", "gaming", "gis", "mathematica", "physics", "programmers", "stats",
    "tex", "unix", "webmasters", "wordpress",
)  # fmt: skip


def average(name: str, tasks: tuple[str, ...], value: float = 0.6185, **fields: Any) -> Measured:
    return measured_average(name, [result(task, **fields) for task in tasks], value, 0.5581)


def test_an_average_is_matched_over_the_same_datasets_only() -> None:
    printed = table(averaged=["nfcorpus", "nq"])
    [same] = beside(average("two", ("nq", "nfcorpus")), [printed])
    assert (same.published, same.difference) == (61.85, pytest.approx(0))
    [other] = beside(average("three", ("nq", "nfcorpus", "quora")), [printed])
    assert (other.published, other.difference) == (61.85, None)
    assert other.why() == "dataset list: 3 tasks here, 2 tasks there"
    [unknown] = beside(average("two", ("nq", "nfcorpus")), [table()])
    assert unknown.difference is not None
    assert "dataset list" in unknown.assuming


def test_an_average_of_averages_is_over_the_same_list_as_the_source_that_counts_them_once() -> None:
    forums = tuple(f"cqadupstack-{name}" for name in FORUMS)
    row = {"model": "jina-reranker-v3", "scores": {"ndcg@10": {"cqadupstack": 45.0}},
           "averages": {"ndcg@10": 61.85}}  # fmt: skip
    printed = table([row], averaged=["nfcorpus", "cqadupstack"])
    [whole] = beside(average("some", ("nfcorpus", *forums)), [printed])
    assert whole.conflicts == ()
    assert whole.published == 61.85
    [part] = beside(average("cqadupstack", forums, 0.451), [printed])
    assert (part.published, part.difference) == (45.0, pytest.approx(0.1))


def test_a_column_of_a_table_over_suites_is_the_suites_average() -> None:
    row = {"model": "jina-reranker-v3", "scores": {"ndcg@10": {"beir": 61.85, "beir/nq": 74.28}}}
    overall = table([row], suite="overall", averaged=["beir/nq", "beir/nfcorpus", "code/apps"])
    [found] = beside(average("two", ("nq", "nfcorpus")), [overall])
    assert (found.published, found.difference) == (61.85, pytest.approx(0))
    [other] = beside(average("one", ("nq", "quora", "fever")), [overall])
    assert other.why() == "dataset list: 3 tasks here, 2 tasks there"
    [task] = beside(measured_task(result("nq", 0.7428)), [overall])
    assert task.published == 74.28
    assert beside(measured_task(result("apps", suite="code")), [overall]) == []


@pytest.mark.parametrize(
    ("name", "suite", "comparable"),
    [
        ("beir-13", "beir", True),
        ("beir-15", "beir", False),
        ("cqadupstack", "beir", False),
        ("coir", "code", True),
        ("csn-ccr", "code", False),
        ("codesearchnet", "code", False),
        ("miracl-18", "miracl", False),
    ],
)
def test_the_papers_means_are_compared_with_the_same_mean_only(
    name: str, suite: str, comparable: bool
) -> None:
    loaded = load_suite(suite, None)
    [mean] = [one for one in loaded.averages if one.name == name]
    stage = "dense-jina-code-embeddings-0.5b" if suite == "code" else "dense-jina-embeddings-v3-hf"
    members = [
        result(task, suite=suite, first_stage=stage, split="dev" if suite == "miracl" else "test",
               published=loaded.published, not_comparable=loaded.not_comparable)
        for task in loaded.tasks_of(mean)
    ]  # fmt: skip
    found = [
        row
        for row in beside(measured_average(name, members, 0.6, 0.5), published_tables())
        if row.table.name.startswith("jina-reranker-v3-")
    ]
    assert found
    assert any(row.difference is not None for row in found) == comparable
    if not comparable:
        assert {row.verdict for row in found} == {"not comparable"}


def test_a_systems_tasks_and_complete_means_stand_beside_the_papers() -> None:
    suite = load_suite("beir", None)
    [thirteen] = [one for one in suite.averages if one.name == "beir-13"]
    results = [result(task, 0.6185) for task in suite.tasks_of(thirteen)]
    paper = [one for one in published_tables() if one.name == "jina-reranker-v3-beir"]
    found = systems_beside([("mine", results)], paper)
    rows = [row for row in found if row.verdict != "not comparable"]
    assert [row.measured.name for row in rows] == ["beir-13", *thirteen.members]
    assert rows[0].difference == pytest.approx(0)
    assert rows[0].published_first_stage == 55.81
    fewer = systems_beside([("mine", results[1:])], paper)
    assert "beir-13" not in {row.measured.name for row in fewer}
    with pytest.raises(UsageError, match="Unknown published model"):
        systems_beside([("mine", results)], paper, {"mine": "nobody's"})
