"""The measures against empyrical's, at the end of a series and at every moment on the way."""

from __future__ import annotations

import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fin_lake.portfolios import measures
from fin_lake.portfolios.measures import GrowingReturns

DAILY_RETURN = st.integers(-2000, 2000).map(lambda basis_points: basis_points / 10_000)
SERIES = st.lists(DAILY_RETURN, min_size=1, max_size=90).map(np.array)
PAIRS = st.lists(st.tuples(DAILY_RETURN, DAILY_RETURN), min_size=1, max_size=60).map(np.array)
RATE = 0.0002
PERIODS = 252

MEASURES = {
    "volatility": (
        lambda r: measures.volatility(r, PERIODS),
        lambda r: empyrical.annual_volatility(r, annualization=PERIODS),
    ),
    "sharpe": (
        lambda r: measures.sharpe(r, RATE, PERIODS),
        lambda r: empyrical.sharpe_ratio(r, RATE, annualization=PERIODS),
    ),
    "sortino": (
        lambda r: measures.sortino(r, RATE, PERIODS),
        lambda r: empyrical.sortino_ratio(r, RATE, annualization=PERIODS),
    ),
    "max_drawdown": (measures.max_drawdown, empyrical.max_drawdown),
    "value_at_risk": (measures.value_at_risk, lambda r: tail(empyrical.value_at_risk, r)),
    "conditional_value_at_risk": (
        measures.conditional_value_at_risk,
        lambda r: tail(empyrical.conditional_value_at_risk, r),
    ),
}
measured = pytest.mark.parametrize("name", MEASURES)


def tail(measure, returns):
    return measure(returns) if returns.size >= measures.LEAST_TAIL_RETURNS else np.nan


def assert_same(actual, expected):
    expected = np.where(np.isinf(expected), np.nan, expected)  # a division by nothing is unknown here
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def series(count=300, seed=1):
    return np.random.default_rng(seed).normal(0.0005, 0.02, count)


@measured
@given(returns=SERIES)
def test_a_measure_is_empyricals(name, returns):
    ours, theirs = MEASURES[name]
    assert_same(ours(GrowingReturns.at_the_end(returns)), [theirs(returns)])


@measured
@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 40, 41, 252, 1000])
def test_a_measure_of_a_long_series_is_empyricals(name, count):
    ours, theirs = MEASURES[name]
    returns = series(count)
    assert_same(ours(GrowingReturns.at_the_end(returns)), [theirs(returns)])


@measured
def test_a_measure_on_the_way_is_that_of_the_days_over_and_the_day_so_far(name):
    ours, theirs = MEASURES[name]
    daily, so_far = series(60), series(122, seed=2)
    days_over = np.repeat(np.arange(61), 2)
    growing = GrowingReturns(daily, days_over, so_far)
    expected = [theirs(np.append(daily[:n], x)) for n, x in zip(days_over, so_far, strict=True)]
    assert_same(ours(growing), expected)


@measured
def test_a_measure_never_looks_ahead(name):
    ours, _ = MEASURES[name]
    daily, so_far, days_over = series(60), series(61, seed=2), np.arange(61)
    cut = ours(GrowingReturns(daily[:30], days_over[:31], so_far[:31]))
    np.testing.assert_array_equal(ours(GrowingReturns(daily, days_over, so_far))[:31], cut)


@given(pairs=PAIRS)
def test_beta_is_empyricals(pairs):
    own, other = pairs.T
    actual = measures.beta(GrowingReturns.at_the_end(own), GrowingReturns.at_the_end(other))
    assert_same(actual, [empyrical.beta_aligned(own, other)])


def test_beta_leaves_out_the_days_without_the_benchmark():
    own, other = series(50), series(50, seed=2)
    other[[0, 7, 8, 49]] = np.nan
    known = ~np.isnan(other)
    growing_own = GrowingReturns(own[:-1], np.arange(50), own)
    growing_other = GrowingReturns(other[:-1], np.arange(50), other)
    actual = measures.beta(growing_own, growing_other)
    expected = [empyrical.beta_aligned(own[:n][known[:n]], other[:n][known[:n]]) for n in range(1, 51)]
    assert_same(actual, expected)


def test_what_does_not_move_has_no_ratio():
    still = GrowingReturns.at_the_end(np.full(30, 0.01))
    assert measures.volatility(still, PERIODS)[0] == 0.0
    assert np.isnan(measures.sharpe(still, 0.0, PERIODS)[0])
    assert np.isnan(measures.sortino(still, 0.0, PERIODS)[0])
    assert np.isnan(measures.beta(still, still)[0])


def test_the_daily_rate_compounds_to_the_yearly():
    assert (1 + measures.daily_rate(0.04, 252)) ** 252 == pytest.approx(1.04)
    assert measures.daily_rate(0.0, 365) == 0.0
