"""Intervals of means over queries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrv3_eval.statistics import bootstrap_interval


def test_an_interval_is_repeatable_and_holds_the_mean() -> None:
    values = np.random.default_rng(1).random(200)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert bootstrap_interval(values) == (low, high)


def test_it_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(2).normal(size=400)
    low, high = bootstrap_interval(values)
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(0, 40))
def test_equal_values_have_no_width(value: float, count: int) -> None:
    low, high = bootstrap_interval(np.full(count, value))
    assert low == high


def test_many_queries_fit_in_memory() -> None:
    low, high = bootstrap_interval(np.random.default_rng(3).random(20_000))
    assert high - low < 0.01


@pytest.mark.slow
def test_the_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(1000):
        low, high = bootstrap_interval(rng.beta(0.4, 0.6, size=100))
        hits += low <= 0.4 <= high
    assert 0.93 <= hits / 1000 <= 0.97
