"""Baselines: over candidates and judgements, outside the store, the same in every run."""

from __future__ import annotations

import numpy as np
import pytest

from jrv3_eval.baselines import Baseline, parse_baseline
from jrv3_eval.candidates import CandidateSet, candidate_set
from jrv3_eval.errors import UsageError

QRELS = {"q1": {"c": 2, "a": 1, "z": 3}, "q2": {}}


@pytest.fixture
def candidates() -> CandidateSet:
    lists = [(["a", "b", "c"], np.float32([3, 2, 1])), ([], np.float32([]))]
    return candidate_set(["q1", "q2"], lists, first_stage="x", depth=3, dataset="d", settings={})


def order(baseline: Baseline, candidates: CandidateSet) -> list[str]:
    scores = baseline.scores(candidates, QRELS)
    assert [len(s) for s in scores] == [3, 0]
    return [candidates.of(0)[0][i] for i in np.argsort(-scores[0])]


def test_none_keeps_the_first_stage_order(candidates: CandidateSet) -> None:
    assert order(Baseline("none"), candidates) == ["a", "b", "c"]


def test_oracle_orders_by_judgement(candidates: CandidateSet) -> None:
    assert order(Baseline("oracle"), candidates) == ["c", "a", "b"]


def test_random_depends_on_seed_and_query_only(candidates: CandidateSet) -> None:
    orders = {tuple(order(Baseline("random", seed), candidates)) for seed in range(30)}
    assert len(orders) == 6
    again = candidates.select(["q1"])
    for seed in range(5):
        random = Baseline("random", seed)
        alone = random.scores(again, QRELS)[0]
        assert alone.tolist() == random.scores(candidates, QRELS)[0].tolist()


def test_specs() -> None:
    assert parse_baseline("none") == Baseline("none")
    assert parse_baseline("random") == Baseline("random", 0)
    assert parse_baseline("random:7") == Baseline("random", 7)
    assert parse_baseline("random:7").name == "random:7"  # type: ignore[union-attr]
    assert parse_baseline("./nonesuch") is None
    with pytest.raises(UsageError, match="no whole number"):
        parse_baseline("random:x")
