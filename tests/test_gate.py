"""The gate: what passes, fails or stays open, what is refused, and what other tools read."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import Cli
from jrv3_eval import evaluate
from jrv3_eval.errors import UsageError
from jrv3_eval.gate import (
    Gate,
    Hypothesis,
    decide,
    gate_panel,
    holm_levels,
    judge,
    reason,
    remarks,
    to_json,
    to_junit,
    to_markdown,
)
from jrv3_eval.metrics import Run
from jrv3_eval.record import PerQuery, TaskResult, write_result
from jrv3_eval.statistics import OneSided

Values = Mapping[str, Sequence[float]]


@pytest.fixture
def record(tasks_dir: Path, tmp_path: Path) -> TaskResult:
    """A real record, to be changed into others."""
    [result] = evaluate("zoo", "none", tasks_dir=tasks_dir, results=tmp_path / "any")
    return result


def store(folder: Path, record: TaskResult, values: Values, model: str = "model") -> Path:
    """A result folder where a model has these values of nDCG@10, by task."""
    for task, found in values.items():
        array = np.array(found, float)
        qids = tuple(f"q{number}" for number in range(len(array)))
        result = record.model_copy(
            update={
                "task": task,
                "metrics": {"ndcg@10": float(array.mean())},
                "reranker": record.reranker.model_copy(update={"name": model, "family": "fake"}),
            }
        )
        run = Run.from_dict({qid: {"d": 1.0} for qid in qids})
        counts = np.ones(len(array), np.int64)
        write_result(folder, result, run, PerQuery(qids, counts, {"ndcg@10": array}, array, array))
    return folder


def gate_of(tmp_path: Path, record: TaskResult, before: Values, after: Values) -> Gate:
    baseline = store(tmp_path / "before", record, before)
    return decide(gate_panel(baseline, store(tmp_path / "after", record, after)))


def scores(count: int = 400) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.4, 0.6, count)


def noise(size: float, count: int = 400) -> np.ndarray:
    return np.random.default_rng(2).normal(0, size, count)


# --- verdicts -----------------------------------------------------------------------------------


def test_the_same_scores_pass(tmp_path: Path, record: TaskResult) -> None:
    gate = gate_of(tmp_path, record, {"a": scores()}, {"a": scores()})
    [one] = gate.hypotheses
    assert (gate.verdict, gate.exit_code(), gate.exit_code(strict=True)) == ("pass", 0, 0)
    assert (one.difference, one.lower, one.upper, one.p) == (0, 0, 0, 1)
    assert (one.suite, one.task, one.queries, one.metric) == ("zoo", "a", 400, "ndcg@10")
    assert (gate.baseline, gate.candidate) == ("baseline", "candidate")


def test_a_clear_drop_fails(tmp_path: Path, record: TaskResult) -> None:
    gate = gate_of(tmp_path, record, {"a": scores()}, {"a": scores() - 0.05 + noise(0.1)})
    [one] = gate.hypotheses
    assert (gate.verdict, gate.exit_code()) == ("fail", 1)
    assert one.difference == pytest.approx(-0.05, abs=0.01)
    assert one.upper < 0
    assert one.p <= one.level
    assert one.candidate - one.baseline == pytest.approx(one.difference)


def test_a_drop_smaller_than_the_margin_passes_though_it_is_certain(
    tmp_path: Path, record: TaskResult
) -> None:
    gate = gate_of(tmp_path, record, {"a": scores()}, {"a": scores() - 0.002 + noise(0.001)})
    [one] = gate.hypotheses
    assert one.upper < 0
    assert one.p < 0.001
    assert gate.verdict == "pass"


def test_noise_is_inconclusive_and_says_how_many_queries_it_takes(
    tmp_path: Path, record: TaskResult
) -> None:
    gate = gate_of(tmp_path, record, {"a": scores()}, {"a": scores() + noise(0.15)})
    [one] = gate.hypotheses
    assert (gate.verdict, gate.exit_code(), gate.exit_code(strict=True)) == ("inconclusive", 0, 1)
    assert one.needed == pytest.approx(5565, rel=0.15)
    assert f"with {one.needed:,} queries equal systems pass" in reason(one, gate)


def test_one_failing_task_fails_all_and_the_mean_is_asked_too(
    tmp_path: Path, record: TaskResult
) -> None:
    before = dict.fromkeys("abc", scores())
    gate = gate_of(tmp_path, record, before, before | {"b": scores() - 0.1 + noise(0.05)})
    found = {one.name: one.verdict for one in gate.hypotheses}
    assert found == {"a": "pass", "b": "fail", "c": "pass", "mean of 3 tasks": "fail"}
    assert gate.verdict == "fail"
    mean = gate.hypotheses[-1]
    assert (mean.task, mean.queries) == (None, 1200)
    assert mean.difference == pytest.approx(-0.1 / 3, abs=0.005)
    assert mean.detectable < gate.hypotheses[1].detectable


def test_small_drops_everywhere_fail_in_the_mean_alone(tmp_path: Path, record: TaskResult) -> None:
    rng = np.random.default_rng(4)
    names = "abcdefghi"
    before = {name: scores() for name in names}
    after = {name: scores() - 0.012 + rng.normal(0, 0.15, 400) for name in names}
    gate = gate_of(tmp_path, record, before, after)
    assert gate.hypotheses[-1].verdict == "fail"
    assert [one.verdict for one in gate.hypotheses].count("fail") < 5


def test_three_queries_decide_nothing(tmp_path: Path, record: TaskResult) -> None:
    gate = gate_of(tmp_path, record, {"a": [0.9, 0.8, 1.0]}, {"a": [0.1, 0.2, 0.0]})
    [one] = gate.hypotheses
    assert gate.verdict == "inconclusive"
    assert (one.lower, one.upper, one.detectable) == (-math.inf, math.inf, math.inf)
    assert remarks(gate)[-1] == "zoo/a has too few queries for any drop to fail"


def test_a_pass_comes_before_a_fail() -> None:
    certain = OneSided(-0.001, np.full(999, -0.001))
    assert certain.upper(0.01) < 0
    assert judge(certain, margin=0.005, alpha=0.05, level=0.01) == "pass"
    assert judge(certain, margin=0.0005, alpha=0.05, level=0.01) == "fail"


def test_levels_by_hand() -> None:
    # 0.01 <= 0.05 / 3, then 0.04 > 0.05 / 2: there Holm stops.
    assert holm_levels([0.2, 0.01, 0.04], 0.05) == pytest.approx([0.025, 0.05 / 3, 0.025])


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, math.nan])
@pytest.mark.parametrize("what", ["margin", "alpha"])
def test_a_margin_or_alpha_that_makes_no_gate_is_refused(
    tmp_path: Path, record: TaskResult, what: str, margin: float
) -> None:
    folder = store(tmp_path / "one", record, {"a": scores()})
    with pytest.raises(UsageError, match=what):
        decide(gate_panel(folder, folder), **{what: margin})


# --- refusals -----------------------------------------------------------------------------------


def test_other_candidates_are_refused(tasks_dir: Path, tmp_path: Path) -> None:
    for name, depth in (("before", 6), ("after", 1)):
        evaluate("zoo", "none", depth=depth, tasks_dir=tasks_dir, results=tmp_path / name)
    with pytest.raises(UsageError, match=r"cannot be compared on zoo/animals.*candidates"):
        gate_panel(tmp_path / "before", tmp_path / "after")


def test_another_dataset_is_refused(tmp_path: Path, record: TaskResult) -> None:
    other = record.dataset.model_copy(update={"fingerprint": "f" * 64})
    before = store(tmp_path / "before", record, {"a": scores()})
    changed = record.model_copy(update={"dataset": other})
    after = store(tmp_path / "after", changed, {"a": scores()})
    with pytest.raises(UsageError, match=r"other dataset: .* and ffffffffffff"):
        gate_panel(before, after)


def test_a_run_limited_to_some_queries_is_refused(tasks_dir: Path, tmp_path: Path) -> None:
    for name in ("before", "after"):
        evaluate("zoo", "random:1", limit=2, tasks_dir=tasks_dir, results=tmp_path / name)
    with pytest.raises(UsageError, match="evaluated on 2 queries only"):
        gate_panel(tmp_path / "before", tmp_path / "after")


def test_a_missing_task_is_refused_and_a_further_one_is_not(
    tmp_path: Path, record: TaskResult
) -> None:
    one = store(tmp_path / "one", record, {"a": scores()})
    both = store(tmp_path / "both", record, {"a": scores(), "b": scores()})
    with pytest.raises(UsageError, match="lack 1 of 2 tasks of the baseline: zoo/b"):
        gate_panel(both, one)
    assert gate_panel(one, both).places == (("zoo", "a"),)


def test_of_several_systems_one_must_be_named(tmp_path: Path, record: TaskResult) -> None:
    folder = store(tmp_path / "two", record, {"a": scores()}, "small")
    store(folder, record, {"a": scores()}, "large")
    with pytest.raises(UsageError, match="several systems: 'large', 'small'") as caught:
        gate_panel(folder, folder)
    assert "--model NAME" in str(caught.value)
    with pytest.raises(UsageError, match="holds no system 'medium'"):
        gate_panel(folder, folder, "medium")
    assert gate_panel(folder, folder, "large").systems[0].example.reranker.name == "large"


def test_baselines_beside_a_model_are_no_ambiguity(
    tasks_dir: Path, tmp_path: Path, record: TaskResult
) -> None:
    folder = store(tmp_path / "runs", record, {"animals": [0.5, 0.6, 0.7]})
    evaluate("zoo", ["none", "oracle"], tasks_dir=tasks_dir, results=folder)
    assert gate_panel(folder, folder).systems[1].example.reranker.name == "model"


# --- what other tools read ----------------------------------------------------------------------

PASSED = Hypothesis(
    "zoo", "a", "a", "ndcg@10", 400, 0.5, 0.5, 0.0, -0.001, 0.002, 0.025, 1.0, "pass", 9, 0.01
)
OPEN = replace(PASSED, name="b", task="b", verdict="inconclusive", lower=-math.inf, upper=math.inf)
FAILED = replace(PASSED, name="c", task="c", verdict="fail", difference=-0.1, upper=-0.05, p=0.0001)
ALL = Gate("before", "after", 0.005, 0.05, (PASSED, OPEN, FAILED))


def test_json_has_no_infinity() -> None:
    text = json.dumps(to_json(ALL), allow_nan=False)
    content = json.loads(text)
    assert (content["schema"], content["verdict"]) == (1, "fail")
    assert (content["margin"], content["alpha"]) == (0.005, 0.05)
    passed, open_, failed = content["hypotheses"]
    assert (open_["lower"], open_["upper"]) == (None, None)
    assert (passed["lower"], failed["verdict"], failed["p"]) == (-0.001, "fail", 0.0001)


@pytest.mark.parametrize(("strict", "failures", "skipped"), [(False, "1", "1"), (True, "2", "0")])
def test_junit_counts_what_it_holds(strict: bool, failures: str, skipped: str) -> None:
    suite = ET.fromstring(to_junit(ALL, strict=strict).partition("\n")[2])
    assert suite.attrib == {
        "name": "jrv3-eval gate", "tests": "3", "failures": failures, "errors": "0",
        "skipped": skipped,
    }  # fmt: skip
    assert len(suite.findall("testcase/failure")) == int(failures)
    assert len(suite.findall("testcase/skipped")) == int(skipped)
    assert [case.get("name") for case in suite.findall("testcase")] == ["a", "b", "c"]
    assert "p 0.0001" in suite.findall("testcase/failure")[-1].attrib["message"]


HOSTILE = "a|b `c` <img src=x> [d](e)\n| \x00 & ]]>"


def test_markdown_survives_hostile_names() -> None:
    gate = Gate(HOSTILE, HOSTILE, 0.005, 0.05, (replace(FAILED, suite=HOSTILE, name=HOSTILE),))
    text = to_markdown(gate)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert {row.replace("\\|", "").count("|") for row in rows} == {9}
    assert not re.search(r"(?<!\\)(<img|`c|\[d)|\x00", text)
    assert text.splitlines()[0] == "### jrv3-eval gate: ❌ fail"


def test_junit_survives_hostile_names() -> None:
    gate = Gate(HOSTILE, HOSTILE, 0.005, 0.05, (replace(FAILED, suite=HOSTILE, name=HOSTILE),))
    [case] = ET.fromstring(to_junit(gate).partition("\n")[2])
    assert case.attrib["name"].startswith("a|b `c` <img src=x> [d](e)")


def test_the_weakest_place_is_named() -> None:
    gate = replace(ALL, hypotheses=(PASSED, replace(PASSED, name="weak", detectable=0.05)))
    assert remarks(gate) == [
        "the smallest drop that this gate fails four times in five: up to 0.0500 (zoo/weak)"
    ]


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path, record: TaskResult) -> dict[str, Path]:
    """A baseline, and candidates that pass, fail or stay open."""
    candidates = {
        "baseline": scores(),
        "pass": scores(),
        "fail": scores() - 0.1 + noise(0.05),
        "inconclusive": scores() + noise(0.15),
    }
    return {
        name: store(tmp_path / name, record, {"animals": values})
        for name, values in candidates.items()
    }


@pytest.mark.parametrize(
    ("verdict", "options", "code"),
    [
        ("pass", ["--strict"], 0),
        ("fail", [], 1),
        ("inconclusive", [], 0),
        ("inconclusive", ["--strict"], 1),
        ("fail", ["--margin", "0.2"], 0),
        ("pass", ["--margin", "0"], 2),
        ("pass", ["--model", "other"], 2),
    ],
)
def test_exit_codes(
    cli: Cli, folders: Mapping[str, Path], verdict: str, options: list[str], code: int
) -> None:
    done = cli("gate", "--baseline", folders["baseline"], "--results", folders[verdict], *options)
    assert done.code == code, done.err
    assert ("animals" in done.out) == (code != 2)
    assert ("warning: inconclusive" in done.err) == (verdict == "inconclusive" and code == 0)


def test_a_folder_against_itself_is_refused(cli: Cli, folders: Mapping[str, Path]) -> None:
    done = cli("gate", "--baseline", folders["pass"], "--results", folders["pass"])
    assert done.code == 2
    assert "the same folder" in done.err


def test_a_folder_that_is_not_there_is_refused(cli: Cli, folders: Mapping[str, Path]) -> None:
    done = cli("gate", "--baseline", "nowhere", "--results", folders["pass"])
    assert done.code == 2
    assert "no such result folder" in done.err


def test_json_is_all_that_is_printed(cli: Cli, folders: Mapping[str, Path]) -> None:
    done = cli("gate", "--baseline", folders["baseline"], "--results", folders["fail"], "--json")
    content = json.loads(done.out)
    assert done.code == 1
    assert content["verdict"] == "fail"
    assert content["hypotheses"][0]["difference"] == pytest.approx(-0.1, abs=0.01)


def test_junit_and_the_summary_are_written(
    cli: Cli, folders: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    done = cli(
        "gate", "--baseline", folders["baseline"], "--results", folders["inconclusive"],
        "--junit", "out/gate.xml", "--strict",
    )  # fmt: skip
    assert done.code == 1
    assert ET.parse(tmp_path / "out/gate.xml").getroot().get("failures") == "1"
    assert summary.read_text().startswith("before\n### jrv3-eval gate: ⚠️ inconclusive")


def test_the_same_folders_print_the_same(cli: Cli, folders: Mapping[str, Path]) -> None:
    command = ("gate", "--baseline", folders["baseline"], "--results", folders["inconclusive"])
    assert cli(*command).out == cli(*command).out
