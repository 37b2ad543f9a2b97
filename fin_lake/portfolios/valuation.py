"""What a portfolio was worth at every hour, what it held, and how it did until then.

The path is always walked from the portfolio's start, so that an hour has the same values, to the
last bit, whether it is computed alone, in a range, or before later prices were known. Sums run over
symbols and time in one fixed order for the same reason.

What the numbers assume:

- A price is the close of an hour's bar, and what is done at an hour is done at its closes. Trading
  costs nothing, and any fraction of a unit can be held.
- A portfolio is valued at the hours in which something that it holds has a bar, or, while it holds
  nothing but cash, something that it is to hold. Nothing to hold at all means no valuations.
- What has no bar in such an hour keeps its last price, whose age is shown; it is also bought and sold
  at that price. What has had no price since the portfolio's start is not bought: its weight stays in
  cash until the first rebalancing date, or allocation, at which it has one.
- An allocation takes effect at the first such hour from its date on, its own symbols' bars included.
  Weights are restored at the first valuation of each new UTC day, ISO week, month or quarter after
  that. Units are left alone; only those that had no price are bought at such a date.
- Prices have to be on one footing: a split in prices as traded shows as a loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fin_lake.partitions import HourRange
from fin_lake.portfolios import measures
from fin_lake.portfolios.definitions import CASH, Portfolio
from fin_lake.portfolios.measures import Floats, GrowingReturns, Integers
from fin_lake.portfolios.walk import Market, Path, hours_between, market_of, summed, walk
from fin_lake.schema import Column
from fin_lake.tables import HOLDING_COLUMNS, VALUATION_COLUMNS

_HOUR_US: Final = 3_600_000_000
_TIMESTAMP: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Valued:
    """What a portfolio was worth and held.

    Parameters
    ----------
    valuations : polars.DataFrame
        The columns of ``VALUATION_COLUMNS``, sorted by timestamp.
    holdings : polars.DataFrame
        The columns of ``HOLDING_COLUMNS``, sorted by timestamp and symbol.
    """

    valuations: pl.DataFrame
    holdings: pl.DataFrame


def value(portfolio: Portfolio, prices: pl.DataFrame, hours: HourRange) -> Valued:
    """Value a portfolio at a range of hours.

    Parameters
    ----------
    portfolio : Portfolio
        What it holds.
    prices : polars.DataFrame
        ``symbol``, ``hour_start`` (UTC, a whole hour) and ``close_price`` (US dollars) of the bars of
        the portfolio's symbols and its benchmark, from its start to ``hours.end``; only hours with a
        bar. Other symbols and hours, and prices that are not positive numbers, are passed over.
    hours : HourRange
        The hours to return; the walk itself begins at the portfolio's start.

    Raises
    ------
    PortfolioError
        A symbol has two prices in an hour or a price within one, or an allocation of units costs more
        than the portfolio is worth.
    """
    symbols = portfolio.symbols
    columns = list(dict.fromkeys([*symbols, portfolio.benchmark]))
    market = market_of(portfolio, prices, columns, hours.end)
    path = walk(portfolio, market, len(symbols))
    figures = _figures(portfolio, market, path)
    first, last = (hours_between(portfolio.start, moment) for moment in (hours.start, hours.end))
    rows = slice(*(int(i) for i in np.searchsorted(path.hours, [first, last])))
    return Valued(
        valuations=_valuations(portfolio, market, path, figures, rows),
        holdings=_holdings(portfolio, market, path, figures, rows),
    )


@dataclass(frozen=True, slots=True)
class _Figures:
    """Money and returns at each valuation; of the holdings, shape (T, S)."""

    price: Floats
    age: Integers
    worth: Floats
    invested: Floats
    total: Floats
    hourly: Floats
    contribution: Floats
    cumulative_contribution: Floats


def _figures(portfolio: Portfolio, market: Market, path: Path) -> _Figures:
    held = path.units.shape[1]
    price = market.price[path.hours, :held]
    worth = path.units * price
    invested = summed(worth)
    total = path.cash + invested
    before = np.concatenate([[portfolio.initial_cash], total[:-1]])
    gain = np.zeros_like(worth)
    gain[1:] = path.units[:-1] * (price[1:] - price[:-1])
    return _Figures(
        price=price,
        age=path.hours[:, None] - market.priced_in[path.hours, :held],
        worth=worth,
        invested=invested,
        total=total,
        hourly=total / before - 1.0,
        contribution=gain / before[:, None],
        cumulative_contribution=np.cumsum(gain, axis=0) / portfolio.initial_cash,
    )


@dataclass(frozen=True, slots=True)
class _Days:
    """The UTC days with a valuation: the first valuation of each, and each valuation's day."""

    firsts: Integers
    number: Integers

    @classmethod
    def of(cls, market: Market, path: Path) -> _Days:
        _, firsts, number = np.unique(market.days[path.hours], return_index=True, return_inverse=True)
        return cls(firsts, number)

    def returns(self, values: Floats, start: float) -> GrowingReturns:
        """Return the daily returns of a value, which was ``start`` before the first day."""
        before = np.concatenate([[start], values[self.firsts[1:] - 1]])
        so_far = values / before[self.number] - 1.0
        return GrowingReturns(so_far[self.firsts[1:] - 1], self.number, so_far)


def _benchmark(market: Market, path: Path, days: _Days, symbol: str) -> tuple[Floats, GrowingReturns]:
    """Return the benchmark's return since its first price, and its daily returns.

    It has a daily return on the days on which it has had a bar by then, if it had a price before.
    """
    column = market.columns[symbol]
    priced_in = market.priced_in[path.hours, column]
    price = np.where(priced_in >= 0, market.price[path.hours, column], np.nan)
    known = price[~np.isnan(price)]
    cumulative = price / known[0] - 1.0 if known.size else price
    daily = days.returns(price, float(price[0]) if price.size else np.nan)
    today = np.searchsorted(market.days, market.days[path.hours])
    fresh = np.where(priced_in >= today, daily.so_far, np.nan)
    return cumulative, GrowingReturns(fresh[days.firsts[1:] - 1], daily.days_over, fresh)


def _measures(portfolio: Portfolio, market: Market, path: Path, figures: _Figures) -> dict[str, Floats]:
    days = _Days.of(market, path)
    daily = days.returns(figures.total, portfolio.initial_cash)
    cumulative, benchmark = _benchmark(market, path, days, portfolio.benchmark)
    periods = portfolio.periods_a_year
    rate = measures.daily_rate(portfolio.risk_free_rate, periods)
    return {
        "daily_return": daily.so_far,
        "cumulative_return": figures.total / portfolio.initial_cash - 1.0,
        "benchmark_return": cumulative,
        "volatility": measures.volatility(daily, periods),
        "sharpe": measures.sharpe(daily, rate, periods),
        "sortino": measures.sortino(daily, rate, periods),
        "max_drawdown": measures.max_drawdown(daily),
        "var_95": measures.value_at_risk(daily),
        "cvar_95": measures.conditional_value_at_risk(daily),
        "beta": measures.beta(daily, benchmark),
    }


def _valuations(
    portfolio: Portfolio, market: Market, path: Path, figures: _Figures, rows: slice
) -> pl.DataFrame:
    held = path.units > 0
    oldest = np.where(held, figures.age, -1).max(axis=1, initial=-1)
    data: dict[str, pl.Series] = {
        "timestamp": _timestamps(market, path.hours[rows]),
        "market_value": _series(figures.total[rows]),
        "cash": _series(path.cash[rows]),
        "invested_value": _series(figures.invested[rows]),
        "hourly_return": _series(figures.hourly[rows]),
        "holding_count": pl.Series(held.sum(axis=1)[rows]),
        "oldest_price_age_hours": _unless_negative(oldest[rows]),
        "rebalanced": pl.Series(path.rebalanced[rows]),
    }
    data |= {
        name: _series(values[rows]) for name, values in _measures(portfolio, market, path, figures).items()
    }
    return _frame(portfolio, data, VALUATION_COLUMNS)


def _holdings(
    portfolio: Portfolio, market: Market, path: Path, figures: _Figures, rows: slice
) -> pl.DataFrame:
    hours, cash, total = path.hours[rows], path.cash[rows], figures.total[rows]
    names = [*portfolio.symbols, CASH]
    order = sorted(range(len(names)), key=lambda i: names[i])
    part_of = np.arange(path.hours.size)[rows, None] >= np.append(path.since, 0)
    shown = part_of[:, order].ravel()

    def laid_out(of_symbols: NDArray[np.generic], of_cash: object) -> NDArray[np.generic]:
        beside = np.broadcast_to(np.asarray(of_cash), hours.shape)
        both = np.column_stack([of_symbols, beside])
        return cast("NDArray[np.generic]", both[:, order].ravel()[shown])

    age = np.where(figures.age > path.hours[:, None], -1, figures.age)[rows]
    unpriced = age < 0
    priced_in = np.where(unpriced, -1, hours[:, None] - age)
    price, worth = (np.where(unpriced, np.nan, of[rows]) for of in (figures.price, figures.worth))
    data = {
        "timestamp": _timestamps(market, laid_out(np.repeat(hours[:, None], len(names) - 1, axis=1), hours)),
        "symbol": pl.Series(
            np.tile(np.array(names, dtype=object)[order], hours.size)[shown], dtype=pl.String
        ),
        "units": _series(laid_out(path.units[rows], cash)),
        "price": _series(laid_out(price, 1.0)),
        "price_at": _timestamps(market, laid_out(priced_in, hours)),
        "price_age_hours": _unless_negative(laid_out(age, 0)),
        "market_value": _series(laid_out(worth, cash)),
        "weight": _series(laid_out(worth / total[:, None], cash / total)),
        "contribution": _series(laid_out(figures.contribution[rows], 0.0)),
        "cumulative_contribution": _series(laid_out(figures.cumulative_contribution[rows], 0.0)),
    }
    return _frame(portfolio, data, HOLDING_COLUMNS)


def _series(values: NDArray[np.generic]) -> pl.Series:
    return pl.Series(values, dtype=pl.Float64, nan_to_null=True)


def _unless_negative(values: NDArray[np.generic]) -> pl.Series:
    counts = pl.Series(values, dtype=pl.Int64)
    return counts.set(counts < 0, None)


def _timestamps(market: Market, hours: NDArray[np.generic]) -> pl.Series:
    """Return the hours' starts; null for an hour below zero."""
    moments = _unless_negative(hours) * _HOUR_US + market.start_us
    return moments.cast(_TIMESTAMP)


def _frame(portfolio: Portfolio, data: dict[str, pl.Series], columns: tuple[Column, ...]) -> pl.DataFrame:
    frame = pl.DataFrame(data).with_columns(portfolio=pl.lit(portfolio.name, pl.String))
    return frame.select(column.name for column in columns)
