"""Systems against each other: on the same candidates, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from jrv3_eval import evaluate
from jrv3_eval.cards import load_suite
from jrv3_eval.compare import (
    agreement,
    compare_panel,
    compare_two,
    means_of,
    one_panel,
    panels,
)
from jrv3_eval.compare.agreement import kendall, rbo
from jrv3_eval.errors import DataError, UsageError
from jrv3_eval.stored import read_systems
from literals import system, write_stored

PLACE = ("zoo", "animals")
FIRST = {"q1": 0.2, "q2": 0.5, "q3": 0.9, "q4": 0.1}
SECOND = {"q1": 0.4, "q2": 0.5 + 1e-12, "q3": 0.8, "q4": 0.7}


# --- pairs --------------------------------------------------------------------------------------


def test_wins_ties_and_losses_are_those_of_the_second(tmp_path: Path) -> None:
    panel = one_panel(
        [
            system("one", write_stored(tmp_path / "1", FIRST, first=dict.fromkeys(FIRST, 0.3))),
            system("two", write_stored(tmp_path / "2", SECOND)),
        ]
    )
    [pair] = compare_panel(panel)
    assert (pair.first_name, pair.second_name) == ("one", "two")
    assert (pair.suite, pair.task, pair.metric, pair.queries) == ("zoo", "animals", "ndcg@10", 4)
    assert (pair.first, pair.second) == (pytest.approx(0.425), pytest.approx(0.6))
    assert pair.difference == pytest.approx(0.175)
    assert (pair.wins, pair.ties, pair.losses) == (2, 1, 1)
    assert pair.low < pair.difference < pair.high
    assert pair.p == pair.corrected
    [against] = compare_two(panel, panel.first_stage, 0)
    assert against.first_name == "first stage"
    assert against.first == pytest.approx(0.3)


def test_a_system_against_itself_is_exactly_equal(tmp_path: Path) -> None:
    stored = write_stored(tmp_path, FIRST)
    [pair] = compare_panel(one_panel([system("one", stored), system("same", stored)]))
    assert (pair.difference, pair.low, pair.high, pair.p, pair.corrected) == (0, 0, 0, 1, 1)
    assert (pair.wins, pair.ties, pair.losses) == (0, 4, 0)
    assert pair.detectable == 0


def test_the_order_of_two_systems_only_turns_the_sign(tmp_path: Path) -> None:
    both = [system(n, write_stored(tmp_path / n, v)) for n, v in (("1", FIRST), ("2", SECOND))]
    [one] = compare_panel(one_panel(both))
    [other] = compare_panel(one_panel(both), baseline=1)
    assert (other.difference, other.low, other.high) == pytest.approx(
        (-one.difference, -one.high, -one.low), abs=1e-12
    )
    assert (other.wins, other.losses, other.p) == (one.losses, one.wins, one.p)


def test_p_values_are_corrected_for_their_number(tmp_path: Path) -> None:
    values = {f"q{i}": i / 40 for i in range(40)}
    systems = [
        system(f"plus {shift}", write_stored(tmp_path / f"{shift}", {q: v + shift for q, v in
               values.items()}))
        for shift in (0.0, 0.01, 0.02)
    ]  # fmt: skip
    pairs = compare_panel(one_panel(systems))
    assert [pair.second_name for pair in pairs] == ["plus 0.01", "plus 0.02"]
    assert all(pair.corrected == pytest.approx(2 * pair.p) for pair in pairs)


def test_a_system_that_lacks_a_task_is_compared_on_the_others(tmp_path: Path) -> None:
    both = {t: write_stored(tmp_path / "1", FIRST, task=t) for t in ("animals", "plants")}
    half = write_stored(tmp_path / "2", SECOND, task="plants")
    pairs = compare_panel(one_panel([system("whole", *both.values()), system("half", half)]))
    assert [(pair.task, pair.name) for pair in pairs] == [("plants", "plants")]


# --- means --------------------------------------------------------------------------------------


def test_a_suite_whose_card_is_not_at_hand_has_no_mean(tmp_path: Path) -> None:
    systems = [
        system(name, *(write_stored(tmp_path / name, v, task=t) for t, v in values.items()))
        for name, values in (
            ("one", {"animals": FIRST, "plants": FIRST}),
            ("two", {"animals": SECOND, "plants": FIRST}),
        )
    ]
    pairs = compare_panel(one_panel(systems))
    assert [(p.task, p.queries) for p in pairs] == [("animals", 4), ("plants", 4)]


def test_a_mean_of_means_counts_its_members_once() -> None:
    suite = load_suite("beir", None)
    fifteen = next(one for one in suite.averages if one.name == "beir-15")
    found = {mean.name: mean.share for mean in means_of("beir", suite.tasks_of(fifteen))}
    assert set(found) == {"beir-13", "cqadupstack", "beir-15"}
    assert found["beir-15"]["beir/nq"] == pytest.approx(1 / 15)
    assert found["beir-15"]["beir/cqadupstack-tex"] == pytest.approx(1 / 15 / 12)
    assert all(sum(share.values()) == pytest.approx(1) for share in found.values())
    assert len(found["beir-15"]) == 14 + 12


def test_there_is_no_mean_over_an_incomplete_list() -> None:
    suite = load_suite("beir", None)
    thirteen = next(one for one in suite.averages if one.name == "beir-13")
    assert [mean.name for mean in means_of("beir", thirteen.members)] == ["beir-13"]
    assert means_of("beir", thirteen.members[1:]) == []
    assert means_of("zoo", ["animals"]) == []


# --- the same candidates ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"candidates.hash": "d" * 64},
            "candidates: bm25, depth 100, cccccccccccc and bm25, depth 100, dddddddddddd",
        ),
        (
            {
                "candidates.depth": 50,
                "candidates.first_stage": "dense-x",
                "candidates.hash": "a" * 64,
            },
            "candidates: bm25, depth 100, cccccccccccc and dense-x, depth 50, aaaaaaaaaaaa",
        ),
        ({"dataset.fingerprint": "e" * 64}, "dataset: ffffffffffff and eeeeeeeeeeee"),
        ({"primary_metric": "mrr@10"}, "metric: ndcg@10 and mrr@10"),
        ({"limit": 4}, "queries: all and limited to 4"),
    ],
)
def test_systems_on_other_ground_are_not_subtracted(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    one = system("one", write_stored(tmp_path / "1", FIRST))
    other = system("two", write_stored(tmp_path / "2", SECOND, **changes))
    with pytest.raises(UsageError) as caught:
        one_panel([one, other])
    assert caught.value.what == (
        f"one and two cannot be compared on zoo/animals: they have other {words}."
    )
    assert str(one.tasks[PLACE].record) in str(caught.value)
    assert str(other.tasks[PLACE].record) in str(caught.value)
    assert [len(panel.systems) for panel in panels([one, other, one])] == [2, 1]


def test_systems_without_a_common_task_are_panels_of_their_own(tmp_path: Path) -> None:
    one = system("one", write_stored(tmp_path, FIRST))
    other = system("two", write_stored(tmp_path, FIRST, task="plants"))
    assert [len(panel.systems) for panel in panels([one, other])] == [1, 1]
    assert compare_panel(one_panel([one, other])) == []


def test_other_queries_are_refused(tmp_path: Path) -> None:
    one = system("one", write_stored(tmp_path / "1", FIRST))
    other = system("two", write_stored(tmp_path / "2", {f"{q}x": v for q, v in FIRST.items()}))
    with pytest.raises(DataError, match="hold other queries"):
        compare_panel(one_panel([one, other]))


# --- agreement ----------------------------------------------------------------------------------

scores = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12)


@given(scores)
def test_kendall_is_scipys_tau_b(pairs: list[tuple[int, int]]) -> None:
    one = [(str(i), float(a)) for i, (a, _) in enumerate(pairs)]
    other = [(str(i), float(b)) for i, (_, b) in enumerate(pairs)]
    expected = kendalltau([a for a, _ in pairs], [b for _, b in pairs]).statistic
    found = kendall(one, sorted(other, key=lambda item: -item[1]))  # any order of documents
    assert found == pytest.approx(0.0 if np.isnan(expected) else expected, abs=1e-12)


def test_kendall_of_known_lists() -> None:
    three = [("a", 3.0), ("b", 2.0), ("c", 1.0)]
    assert kendall(three, three) == 1
    assert kendall(three, [("a", 1.0), ("b", 2.0), ("c", 3.0)]) == -1
    assert kendall(three, [("b", 3.0), ("a", 2.0), ("c", 1.0)]) == pytest.approx(1 / 3)
    assert kendall(three, [("a", 1.0), ("b", 1.0), ("c", 1.0)]) == 0


def test_rbo_of_known_lists() -> None:
    assert rbo("abcd", "abcd") == pytest.approx(1)
    assert rbo("abcd", "efgh") == 0
    # Overlaps 0/1, 2/2, 2/3: 1 * (0 + 1/4 + 2/3 * 1/8) + 2/3 * 1/8
    assert rbo("abc", "bad", p=0.5) == pytest.approx(5 / 12)
    assert rbo("abcdefghij", "abcdefghji") > rbo("abcdefghij", "bacdefghij")


def equation_32(one: list[int], other: list[int], p: float) -> float:
    """Webber, Moffat, Zobel 2010, for S and L as they print it."""
    small, large = sorted((one, other), key=len)
    s, n = len(small), len(large)
    x = [0, *(len(set(small[:d]) & set(large[:d])) for d in range(1, n + 1))]
    first = sum(x[d] / d * p**d for d in range(1, n + 1))
    second = sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * (first + second) + ((x[n] - x[s]) / n + x[s] / s) * p**n


@given(st.permutations(range(8)), st.permutations(range(3, 11)), st.floats(0.1, 0.95))
def test_rbo_is_equation_32(one: list[int], other: list[int], p: float) -> None:
    found = rbo([str(i) for i in one], [str(i) for i in other], p)
    assert found == pytest.approx(equation_32(one, other, p), abs=1e-12)


def test_agreement_is_a_mean_over_queries_with_two_documents_or_more(tmp_path: Path) -> None:
    values = {"q1": 1.0, "q2": 1.0, "q3": 1.0}
    lists = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 2.0, "b": 1.0}, "q3": {"a": 1.0}}
    turned = {**lists, "q2": {"a": 1.0, "b": 2.0}}
    one = system("one", write_stored(tmp_path / "1", values, lists=lists))
    other = system("two", write_stored(tmp_path / "2", values, lists=turned))
    found = agreement(one, other, PLACE)
    assert (found.queries, found.kendall) == (2, 0.0)
    assert found.rbo == pytest.approx((1 + 0.9) / 2)  # of q2: 0.1 / 0.9 * 0.81 + 0.81
    same = agreement(one, one, PLACE)
    assert (same.kendall, same.rbo) == (1, pytest.approx(1))


# --- real runs ----------------------------------------------------------------------------------


def test_published_rerankings_of_dl19(data: Path, tmp_path: Path) -> None:
    folder = data / "trec-dl19-passage-top100"
    evaluate(
        "trec",
        ["none", f"run:{folder / 'reranked/rankvicuna-7b.trec.gz'}"],
        first_stage=f"run:{folder / 'runs/BM25.trec.gz'}",
        tasks_dir=Path(__file__).parent / "cards",
        data_dir=data,
        results=tmp_path,
    )
    systems = read_systems([tmp_path])
    assert [one.name for one in systems] == ["none", "rankvicuna-7b"]
    [pair] = compare_panel(one_panel(systems))
    assert (round(pair.first, 4), round(pair.second, 4)) == (0.5058, 0.6682)
    assert pair.queries == 43
    assert pair.p < 0.001
    assert 0 < pair.low < pair.difference < pair.high
    assert pair.wins + pair.ties + pair.losses == 43
    [same] = compare_panel(one_panel([systems[0], *read_systems([tmp_path])[:1]]))
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    [before] = compare_two(one_panel(systems), 2, 0)
    assert (before.first_name, before.difference, before.p) == ("first stage", 0, 1)
