"""Measures of risk and return over a growing series of daily returns.

Each function answers for many moments at once: what was the measure, given the days that were over
and the day under way? No measure looks ahead. Formulas are those of ``empyrical`` (0.7), which the
tests compare with; sources are named beside each. Returns are fractions: 0.01 is one per cent.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TAIL: Final = 0.05
LEAST_RETURNS: Final = 2
"""Daily returns below which a deviation, and what is divided by one, is unknown."""
LEAST_TAIL_RETURNS: Final = 20
"""Daily returns below which 5 % of them are not even one."""


@dataclass(frozen=True, slots=True)
class GrowingReturns:
    """At each of T moments: the returns of the days that are over, and of the day under way.

    Parameters
    ----------
    daily : numpy.ndarray
        The returns of D whole days, in their order; shape (D,). NaN where there is none.
    days_over : numpy.ndarray
        How many of them were over at each moment, not decreasing; shape (T,).
    so_far : numpy.ndarray
        The return of the day under way, up to each moment; shape (T,). NaN where there is none.
    """

    daily: Floats
    days_over: Integers
    so_far: Floats

    @classmethod
    def at_the_end(cls, returns: Floats) -> GrowingReturns:
        """Return the single moment at which all of ``returns``, shape (D,), are known; D ≥ 1."""
        return cls(returns[:-1], np.array([returns.size - 1]), returns[-1:])

    def less(self, rate: float) -> GrowingReturns:
        """Return the returns in excess of a daily rate."""
        return GrowingReturns(self.daily - rate, self.days_over, self.so_far - rate)

    def where(self, known: GrowingReturns) -> GrowingReturns:
        """Return the returns on the days on which ``known``, of the same shape, has one."""
        return GrowingReturns(
            np.where(np.isnan(known.daily), np.nan, self.daily),
            self.days_over,
            np.where(np.isnan(known.so_far), np.nan, self.so_far),
        )


@dataclass(frozen=True, slots=True)
class _Moments:
    """Number, mean, sum of squared deviations, and sum of squares below zero, at each moment."""

    count: Integers
    mean: Floats
    squares: Floats
    shortfall: Floats

    @property
    def deviation(self) -> Floats:
        return np.sqrt(_ratio(self.squares, _enough(self.count) - 1))


def daily_rate(yearly: float, periods: int) -> float:
    """Return the rate a day that compounds to ``yearly`` over ``periods`` days."""
    return float((1.0 + yearly) ** (1.0 / periods) - 1.0)


def volatility(returns: GrowingReturns, periods: int) -> Floats:
    """Return the annualised sample deviation: ``std(r, ddof=1) · √periods``.

    NaN below two returns. As ``empyrical.annual_volatility``.
    """
    return _moments(returns).deviation * math.sqrt(periods)


def sharpe(returns: GrowingReturns, risk_free: float, periods: int) -> Floats:
    """Return the annualised Sharpe ratio: ``mean(r − f) / std(r − f, ddof=1) · √periods``.

    ``risk_free`` is a rate a day. NaN below two returns and where they do not deviate. W. F. Sharpe,
    The Sharpe Ratio, Journal of Portfolio Management 21 (1994); as ``empyrical.sharpe_ratio``.
    """
    moments = _moments(returns.less(risk_free))
    return _ratio(moments.mean, moments.deviation) * math.sqrt(periods)


def sortino(returns: GrowingReturns, required: float, periods: int) -> Floats:
    """Return the annualised Sortino ratio: ``mean(r − f) / √mean(min(r − f, 0)²) · √periods``.

    ``required`` is a rate a day; the deviation is over all days, those above it counting as zero. NaN
    below two returns and where none falls short. T. N. Rollinger and S. T. Hoffman, Sortino: A
    'Sharper' Ratio (2013); as ``empyrical.sortino_ratio``.
    """
    moments = _moments(returns.less(required))
    downside = np.sqrt(_ratio(moments.shortfall, _enough(moments.count)))
    return _ratio(moments.mean, downside) * math.sqrt(periods)


def max_drawdown(returns: GrowingReturns) -> Floats:
    """Return the deepest fall from an earlier height, at most zero: ``min(v / max(v so far) − 1)``.

    The height at the start, before the first return, counts. As ``empyrical.max_drawdown``.
    """
    value = np.cumprod(np.concatenate([[1.0], 1.0 + returns.daily]))
    height = np.maximum.accumulate(value)
    deepest = np.minimum.accumulate(value / height - 1.0)
    days = returns.days_over
    now = value[days] * (1.0 + returns.so_far)
    return np.minimum(deepest[days], now / np.maximum(height[days], now) - 1.0)


def value_at_risk(returns: GrowingReturns) -> Floats:
    """Return the 5 % quantile of the returns, by history, between the two nearest of them.

    A loss is negative. NaN below twenty returns. As ``empyrical.value_at_risk``, which is
    ``numpy.percentile(r, 5)`` (type 7 of R. J. Hyndman and Y. Fan, Sample Quantiles, 1996).
    """
    return _of_sorted(returns, _quantile)


def conditional_value_at_risk(returns: GrowingReturns) -> Floats:
    """Return the mean of the worst returns, up to the one at or below the 5 % quantile.

    NaN below twenty returns. R. T. Rockafellar and S. Uryasev, Optimization of Conditional
    Value-at-Risk (2000); as ``empyrical.conditional_value_at_risk``.
    """
    return _of_sorted(returns, _mean_of_tail)


def beta(returns: GrowingReturns, benchmark: GrowingReturns) -> Floats:
    """Return ``cov(r, b) / var(b)`` over the days on which both have a return.

    ``benchmark`` has the shape of ``returns``. NaN below two common days and where the benchmark does
    not move. As ``empyrical.beta`` with a risk-free rate of zero.
    """
    own, other = returns.where(benchmark), benchmark.where(returns)
    count, mean, other_mean, product = _comoments(own.daily, other.daily)
    days = returns.days_over
    present = ~np.isnan(own.so_far)
    by_own = np.where(present, own.so_far - mean[days], 0.0)
    by_other = np.where(present, other.so_far - other_mean[days], 0.0)
    total = count[days] + present
    products = product[days] + by_own * (by_other - by_other / np.maximum(total, 1))
    return _ratio(np.where(total < LEAST_RETURNS, np.nan, products), _moments(other).squares)


def _enough(count: Integers) -> Floats:
    return np.where(count < LEAST_RETURNS, np.nan, count.astype(np.float64))


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0.0, np.nan, above / below)


def _moments(returns: GrowingReturns) -> _Moments:
    """Return the moments by B. P. Welford's update (Technometrics 4, 1962), which does not cancel."""
    count, mean, _, squares = _comoments(returns.daily, returns.daily)
    lows = np.square(np.minimum(np.nan_to_num(returns.daily), 0.0))
    shortfall = np.concatenate([[0.0], np.cumsum(lows)])
    days, x = returns.days_over, returns.so_far
    present = ~np.isnan(x)
    total = count[days] + present
    by = np.where(present, x - mean[days], 0.0)
    step = by / np.maximum(total, 1)
    return _Moments(
        count=total,
        mean=mean[days] + step,
        squares=squares[days] + by * (by - step),
        shortfall=shortfall[days] + np.square(np.minimum(np.where(present, x, 0.0), 0.0)),
    )


def _comoments(own: Floats, other: Floats) -> tuple[Integers, Floats, Floats, Floats]:
    """Return number, both means, and sum of products of deviations, of the first 0, 1, … D pairs."""
    counts = np.zeros(own.size + 1, np.int64)
    sums = np.zeros((3, own.size + 1))
    count, mean, other_mean, product = 0, 0.0, 0.0, 0.0
    for i, (x, y) in enumerate(zip(own.tolist(), other.tolist(), strict=True), start=1):
        if not (math.isnan(x) or math.isnan(y)):
            count += 1
            by, by_other = x - mean, y - other_mean
            mean += by / count
            other_mean += by_other / count
            product += by * (by_other - by_other / count)
        counts[i] = count
        sums[:, i] = mean, other_mean, product
    return counts, sums[0], sums[1], sums[2]


_OfSorted = Callable[[list[float], Floats], Floats]


def _of_sorted(returns: GrowingReturns, measure: _OfSorted) -> Floats:
    """Return, at each moment, a measure of the sorted days that are over and the day under way."""
    values = np.full(returns.so_far.size, np.nan)
    past: list[float] = []
    firsts = np.searchsorted(returns.days_over, np.arange(returns.daily.size + 2))
    for day in range(returns.daily.size + 1):
        moments = slice(firsts[day], firsts[day + 1])
        if day + 1 >= LEAST_TAIL_RETURNS:
            values[moments] = measure(past, returns.so_far[moments])
        if day < returns.daily.size:
            bisect.insort(past, float(returns.daily[day]))
    return values


def _quantile(past: list[float], x: Floats) -> Floats:
    position = len(past) * TAIL
    below = int(position)
    lower, upper = _ranked(past, x, below), _ranked(past, x, below + 1)
    return lower + (upper - lower) * (position - below)


def _ranked(past: list[float], x: Floats, rank: int) -> Floats:
    """Return the value of a rank, from 0, among ``past`` and one of ``x``."""
    before = past[rank - 1] if rank else -math.inf
    after = past[rank] if rank < len(past) else math.inf
    return np.maximum(before, np.minimum(x, after))


def _mean_of_tail(past: list[float], x: Floats) -> Floats:
    others = int(len(past) * TAIL)
    return (math.fsum(past[:others]) + np.minimum(x, past[others])) / (others + 1)
