"""Intervals, paired tests, corrections and power: against scipy, by hand, and by simulation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jrv3_eval.gate import holm_levels
from jrv3_eval.statistics import (
    Contrast,
    OneSided,
    Resampling,
    Sample,
    bootstrap_interval,
    detectable_difference,
    detectable_drop,
    holm,
    interval,
    one_sided,
    queries_needed,
    randomisation_p,
    shape,
    standard_error,
)

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]
DIFFERENCE = Contrast.of({"task": 1.0}, 1, 0, None)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"q{number}" for number in range(count))


def of(differences: object, resamples: int = 9_999, group: str = "task") -> Resampling:
    """One task with these paired differences."""
    values = np.asarray(differences, float)
    return Resampling({"task": Sample(names(len(values)), values[:, None], group)}, resamples)


def two(first: Floats, second: Floats) -> Resampling:
    """One task with the values of two systems."""
    return Resampling({"task": Sample(names(len(first)), np.stack([first, second], 1), "task")})


# --- intervals ----------------------------------------------------------------------------------


def test_with_many_queries_an_interval_is_scipys_bca() -> None:
    values = np.random.default_rng(1).beta(0.4, 0.9, size=2_000)
    found = bootstrap_interval(values)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=9_999, rng=np.random.default_rng(2)
    ).confidence_interval
    assert found == pytest.approx(tuple(theirs), abs=0.05 * (theirs[1] - theirs[0]))


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(1).random(200)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert bootstrap_interval(values) == (low, high)


def test_the_order_of_the_queries_does_not_matter() -> None:
    values, ids = np.random.default_rng(1).random(50), names(50)
    turned = bootstrap_interval(values[::-1], ids=ids[::-1])
    assert turned == pytest.approx(bootstrap_interval(values, ids=ids), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(1, 40))
def test_equal_values_have_no_width(value: float, count: int) -> None:
    assert bootstrap_interval(np.full(count, value)) == pytest.approx((value, value), abs=1e-12)


def test_no_query_has_the_interval_of_zero() -> None:
    assert bootstrap_interval(np.empty(0)) == (0.0, 0.0)


def test_an_interval_stays_within_the_metric() -> None:
    low, high = bootstrap_interval(np.array([1.0, 1.0, 1.0, 1.0, 0.9]))
    assert 0.9 <= low < 0.98 < high <= 1.0


def test_few_moved_queries_give_no_narrower_interval_than_student() -> None:
    differences = np.array([0.5, -0.3, 0.2, -0.1] + [0.0] * 36)
    low, high = bootstrap_interval(differences)
    theirs = scipy.stats.ttest_1samp(differences, 0).confidence_interval()
    assert low <= theirs.low + 1e-12
    assert high >= theirs.high - 1e-12


def test_many_queries_fit_in_memory() -> None:
    low, high = bootstrap_interval(np.random.default_rng(3).random(20_000))
    assert high - low < 0.01


MEAN_OF_TWO = Contrast.of({"a": 0.5, "b": 0.5}, 1, 0, None)


def test_the_same_questions_twice_are_no_more_evidence_than_once() -> None:
    values = np.random.default_rng(5).random((150, 1))
    once = Sample(names(150), values, "questions")
    both = Resampling({"a": once, "b": once})
    alone = Contrast.of({"a": 1.0}, 1, 0, None)
    assert interval(both, MEAN_OF_TWO) == pytest.approx(interval(both, alone), abs=1e-12)
    assert standard_error(both, MEAN_OF_TWO) == pytest.approx(standard_error(both, alone))


def test_two_independent_tasks_narrow_the_interval_by_the_root_of_two() -> None:
    values = np.random.default_rng(5).random((300, 1))
    apart = Resampling({name: Sample(names(300), values, name) for name in "ab"})
    low, high = interval(apart, MEAN_OF_TWO)
    alone = interval(apart, Contrast.of({"a": 1.0}, 1, 0, None))
    assert (alone[1] - alone[0]) / (high - low) == pytest.approx(2**0.5, rel=0.05)


# --- paired tests -------------------------------------------------------------------------------

EIGHT = [0.3, -0.1, 0.2, 0.4, 0.0, 0.1, -0.2, 0.5]


def every_flip(differences: list[float]) -> Floats:
    """The mean under each of the 2^n assignments of signs."""
    signs = np.array(list(itertools.product([-1, 1], repeat=len(differences))))
    means: Floats = (signs @ np.array(differences)) / len(differences)
    return means


def test_identical_systems_have_a_p_value_of_one() -> None:
    values = np.random.default_rng(6).random(80)
    assert randomisation_p(two(values, values), Contrast.of({"task": 1.0}, 2, 0, 1)) == 1.0


def test_a_p_value_does_not_depend_on_which_system_comes_first() -> None:
    rng = np.random.default_rng(6)
    resampling = two(rng.random(80), rng.random(80))
    one = randomisation_p(resampling, Contrast.of({"task": 1.0}, 2, 0, 1))
    assert one == randomisation_p(resampling, Contrast.of({"task": 1.0}, 2, 1, 0))


def test_eight_queries_have_the_p_value_of_all_flips() -> None:
    means = every_flip(EIGHT)
    exact = (np.abs(means) >= np.mean(EIGHT) - 1e-12).mean()
    assert randomisation_p(of(EIGHT), DIFFERENCE) == pytest.approx(exact, abs=0.012)


def test_a_drop_has_the_one_sided_p_value_of_all_flips() -> None:
    drop = [-value for value in EIGHT]
    exact = (every_flip(drop) <= np.mean(drop) + 1e-12).mean()
    assert one_sided(of(drop), DIFFERENCE).p_drop == pytest.approx(exact, abs=0.012)


def test_a_p_value_is_scipys() -> None:
    differences = np.random.default_rng(7).normal(0.15, 1.0, 120)
    theirs = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=9_999,
        rng=np.random.default_rng(8),
    )  # fmt: skip
    assert randomisation_p(of(differences), DIFFERENCE) == pytest.approx(theirs.pvalue, abs=0.02)


# Values of a metric in hundredths, so that sums tie as real ones do.
hundredths = st.lists(st.integers(-100, 100), min_size=2, max_size=40)


@settings(max_examples=150, deadline=None)
@given(hundredths, st.sampled_from([0.0, 0.0, -0.2, 0.2]), st.floats(0.002, 0.49))
def test_a_bound_lies_below_zero_exactly_where_the_test_rejects(
    differences: list[int], shift: float, level: float
) -> None:
    test = one_sided(of(np.array(differences) / 100 + shift, resamples=999), DIFFERENCE)
    assume(abs(test.p_drop - level) > 1e-9)
    assert (test.upper(level) < 0) == (test.p_drop <= level)


@settings(max_examples=100, deadline=None)
@given(hundredths, st.floats(0.002, 0.4))
def test_the_estimate_lies_between_its_bounds(differences: list[int], level: float) -> None:
    # Near 0.5 both bounds are medians of what was drawn, and may pass the estimate.
    test = one_sided(of(np.array(differences) / 100, resamples=999), DIFFERENCE)
    slack = 0.25 * test.error + 1e-12
    assert test.lower(level) <= test.estimate + slack
    assert test.upper(level) >= test.estimate - slack


def test_three_queries_show_nothing() -> None:
    test = one_sided(of([-0.9, -0.8, -1.0]), DIFFERENCE)
    assert test.p_drop == pytest.approx(1 / 8, abs=0.02)
    assert test.upper(0.01) == float("inf")
    assert test.lower(0.01) == float("-inf")
    assert test.upper(0.25) < 0


def test_a_level_below_the_resolution_has_no_bound() -> None:
    test = OneSided(0.0, np.linspace(-1, 1, 99))
    assert test.upper(0.009) == float("inf")
    assert test.upper(0.01) == 1.0
    assert test.lower(0.009) == float("-inf")


def test_rare_gains_do_not_make_a_drop_certain() -> None:
    # 43 queries lose a little, and the rare large gain may just be missing.
    differences = np.array([-0.02] * 30 + [0.0] * 10 + [0.3, 0.25, 0.2])
    test = one_sided(of(differences), DIFFERENCE)
    assert test.shape.skew > 0
    reach = test.upper(0.01) - test.estimate
    assert reach > scipy.stats.t.ppf(0.99, 42) * test.error


# --- corrections and power ----------------------------------------------------------------------


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1, never below an earlier one.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert len(holm([])) == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=14), st.floats(0.01, 0.4))
def test_a_level_rejects_what_holm_rejects(p_values: list[float], alpha: float) -> None:
    with mock.patch("gc.collect"):  # statsmodels calls it each time, and it takes a while
        levels, corrected = holm_levels(p_values, alpha), holm(p_values)
    assume(np.abs(corrected - alpha).min() > 1e-9)
    rejected = [p <= level for p, level in zip(p_values, levels, strict=True)]
    assert rejected == (corrected <= alpha).tolist()


def test_half_a_point_takes_more_than_five_thousand_queries() -> None:
    assert queries_needed(0.15, 0.005) == 5565  # (1.645 + 0.842)^2 x 30^2
    assert queries_needed(0.15, 0.01) == 1392


def test_what_a_sample_can_show_by_hand() -> None:
    # Large samples: 1.960 + 0.842 standard errors.
    assert detectable_difference(0.01, 1e9) == pytest.approx(0.02802, abs=1e-5)
    assert detectable_difference(0.0, 1.0) == 0.0


def test_what_the_gate_can_show_by_hand() -> None:
    few = detectable_drop(0.01, 1e9, alpha=0.05, tests=1, margin=0.005)
    assert few == pytest.approx(0.01 * (1.6449 + 0.9542), abs=1e-5)
    # Among fourteen: 2.690 standard errors must be exceeded.
    assert detectable_drop(0.01, 1e9, alpha=0.05, tests=14, margin=0.005) == pytest.approx(
        0.01 * (2.6901 + 0.9542), abs=1e-5
    )
    # A large margin passes what is significant, so that a drop must be beyond it.
    assert detectable_drop(0.001, 1e9, alpha=0.05, tests=1, margin=0.05) == pytest.approx(
        0.05 - 0.0016449 + 0.00095417, abs=1e-6
    )


# --- calibration, by simulation -----------------------------------------------------------------

SIMULATIONS = 2_000
FEWER = 1_999  # resamples, where a command takes 9,999
GAINS = 1 / np.log2(np.arange(2, 12))  # nDCG of one relevant document, at ranks 1 to 10


def ndcg(rng: np.random.Generator, count: int, missed: float = 0.3) -> Floats:
    """nDCG@10 where a query has one answer: 0 if missed, else mostly at the first ranks."""
    chance = 0.6 ** np.arange(10)
    chance *= (1 - missed) / chance.sum()
    return rng.choice([0.0, *GAINS], count, p=[missed, *chance])


def easy(rng: np.random.Generator, count: int) -> Floats:
    return ndcg(rng, count, missed=0.05)


def graded(rng: np.random.Generator, count: int) -> Floats:
    return rng.beta(0.8, 1.2, count)


def tied(share: float) -> Draw:
    """Differences of two rankings, of which a share is equal."""

    def draw(rng: np.random.Generator, count: int) -> Floats:
        differences = ndcg(rng, count) - ndcg(rng, count)
        return np.where(rng.random(count) < share, 0.0, differences)

    return draw


def skewed(rng: np.random.Generator, count: int) -> Floats:
    """Half are equal, many gain a little, and some lose more; the mean is zero."""
    values = [0.0, 0.13, 0.07, -0.37, -0.13]
    found: Floats = rng.choice(values, count, p=[0.5, 0.2, 0.2, 0.08, 0.02])
    return found - (0.2 * 0.13 + 0.2 * 0.07 - 0.08 * 0.37 - 0.02 * 0.13)


def expected(draw: Draw) -> float:
    return float(draw(np.random.default_rng(99), 4_000_000).mean())


def test_tied_differences_are_mostly_zeros_within_the_metric() -> None:
    drawn = tied(0.7)(np.random.default_rng(1), 10_000)
    assert (drawn == 0).mean() > 0.7
    assert -1 <= drawn.min() < drawn.max() <= 1


MEANS = {"one answer": ndcg, "easy": easy, "graded": graded}
DIFFERENCES = {"half tied": tied(0.5), "mostly tied": tied(0.7), "skewed": skewed}


@pytest.mark.slow
@pytest.mark.parametrize("queries", [40, 100, 300])
@pytest.mark.parametrize("name", [*MEANS, *DIFFERENCES])
def test_an_interval_covers_the_truth(name: str, queries: int) -> None:
    draw = (MEANS | DIFFERENCES)[name]
    truth, rng = expected(draw), np.random.default_rng(queries)
    hits = 0
    for number in range(SIMULATIONS):
        # Another group is another key of the draws, as other tasks have.
        low, high = interval(of(draw(rng, queries), FEWER, str(number)), DIFFERENCE)
        hits += low <= truth <= high
    assert hits / SIMULATIONS == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_the_interval_of_an_average_covers_the_truth(grouped: bool) -> None:
    draws = {"a": (tied(0.5), 40), "b": (skewed, 100), "c": (graded, 60)}
    share = dict.fromkeys(draws, 1 / 3)
    truth = sum(expected(draw) for draw, _ in draws.values()) / 3
    rng = np.random.default_rng(1)
    contrast = Contrast.of(share, 1, 0, None)
    hits = 0
    for number in range(SIMULATIONS):
        # Questions of a group are easy or hard in all its tasks; each task has some of them.
        common = rng.normal(0, 0.1, 100) if grouped else np.zeros(100)
        samples = {
            name: Sample(
                names(count),
                (draw(rng, count) + common[:count])[:, None],
                f"{number}" if grouped else f"{name} {number}",
            )
            for name, (draw, count) in draws.items()
        }
        low, high = interval(Resampling(samples, FEWER), contrast)
        hits += low <= truth <= high
    assert hits / SIMULATIONS == pytest.approx(0.95, abs=0.015)


def rejections(draw: Draw, queries: int) -> tuple[float, float]:
    """How often the two-sided test rejects at 5 % and at 1 %."""
    rng = np.random.default_rng(queries)
    found = np.array(
        [
            randomisation_p(of(draw(rng, queries), FEWER, str(number)), DIFFERENCE)
            for number in range(SIMULATIONS)
        ]
    )
    return float((found <= 0.05).mean()), float((found <= 0.01).mean())


@pytest.mark.slow
@pytest.mark.parametrize("queries", [40, 100, 300])
@pytest.mark.parametrize("name", ["half tied", "mostly tied"])
def test_without_a_difference_the_test_rejects_at_its_level(name: str, queries: int) -> None:
    # Three standard errors of 2,000 simulations.
    five, one = rejections(DIFFERENCES[name], queries)
    assert five == pytest.approx(0.05, abs=0.0146)
    assert one == pytest.approx(0.01, abs=0.0067)


@pytest.mark.slow
@pytest.mark.parametrize("queries", [100, 300])
def test_skewed_differences_without_a_mean_are_rejected_at_the_level(queries: int) -> None:
    # Flipped signs assume symmetry: at 1 % skew still shows with 100 queries (1.8 %).
    five, one = rejections(skewed, queries)
    assert five == pytest.approx(0.05, abs=0.0146)
    assert one <= {100: 0.022, 300: 0.0167}[queries]


@pytest.mark.slow
def test_four_times_in_five_a_detectable_difference_is_found() -> None:
    draw, queries = tied(0.5), 300
    rng = np.random.default_rng(1)
    error = draw(rng, 4_000_000).std() / queries**0.5
    size = detectable_difference(error, queries - 1)
    five, _ = rejections(lambda rng, count: draw(rng, count) + size, queries)
    assert five == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
def test_four_times_in_five_a_detectable_drop_is_found() -> None:
    draw, queries, level = tied(0.5), 300, 0.05 / 14
    rng = np.random.default_rng(1)
    error = draw(rng, 4_000_000).std() / queries**0.5
    found_shape = shape(of(draw(rng, queries)), DIFFERENCE)
    size = detectable_drop(
        error, queries - 1, alpha=0.05, tests=14, margin=0.005, shape=found_shape
    )
    found = 0
    for number in range(SIMULATIONS):
        test = one_sided(of(draw(rng, queries) - size, FEWER, str(number)), DIFFERENCE)
        found += test.upper(level) < 0 and test.lower(0.05) <= -0.005
    assert 0.78 <= found / SIMULATIONS <= 0.88  # 83 % are aimed at
