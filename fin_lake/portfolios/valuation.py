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

import datetime as dt
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fin_lake.partitions import HOUR, HourRange, hour_key
from fin_lake.portfolios import measures
from fin_lake.portfolios.definitions import CASH, WEIGHT_TOLERANCE, Allocation, Portfolio, PortfolioError
from fin_lake.portfolios.measures import Floats, GrowingReturns, Integers
from fin_lake.schema import Column
from fin_lake.tables import HOLDING_COLUMNS, VALUATION_COLUMNS

Booleans = NDArray[np.bool_]

_HOUR_US: Final = 3_600_000_000
_HOURS_A_DAY: Final = 24
_DAY_OF_MONDAY: Final = 3  # 1970-01-01 was a Thursday
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
    market = _market(portfolio, prices, columns, hours.end)
    path = _walk(portfolio, market, len(symbols))
    figures = _figures(portfolio, market, path)
    first, last = (_hours_between(portfolio.start, moment) for moment in (hours.start, hours.end))
    rows = slice(*(int(i) for i in np.searchsorted(path.hours, [first, last])))
    return Valued(
        valuations=_valuations(portfolio, market, path, figures, rows),
        holdings=_holdings(portfolio, market, path, figures, rows),
    )


@dataclass(frozen=True, slots=True)
class _Market:
    """Prices of S symbols in the H hours since the start.

    ``bars`` says where there is a bar, ``priced_in`` which hour the last known price is from (−1 if
    none), ``price`` is that price (0 if none); all of shape (H, S).
    """

    start: dt.datetime
    columns: dict[str, int]
    bars: Booleans
    priced_in: Integers
    price: Floats

    @property
    def days(self) -> Integers:
        """The UTC day of each hour, since 1970."""
        first = int(self.start.timestamp()) // 3600
        return (first + np.arange(len(self.bars))) // _HOURS_A_DAY


@dataclass(frozen=True, slots=True)
class _Path:
    """What was held at each of T valuations: hours since the start, units (T, S), cash (T,).

    ``since`` is the valuation from which each symbol has been part of an allocation, T if never.
    """

    hours: Integers
    units: Floats
    cash: Floats
    rebalanced: Booleans
    since: Integers


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


def _hours_between(start: dt.datetime, moment: dt.datetime) -> int:
    return max((moment - start) // HOUR, 0)


def _market(portfolio: Portfolio, prices: pl.DataFrame, columns: list[str], end: dt.datetime) -> _Market:
    position = {symbol: i for i, symbol in enumerate(columns)}
    count = _hours_between(portfolio.start, end)
    close = pl.col("close_price").cast(pl.Float64)
    known = prices.filter(
        pl.col("symbol").is_in(columns)
        & (pl.col("hour_start") >= portfolio.start)
        & (pl.col("hour_start") < end)
        & close.is_finite()
        & (close > 0)
    ).select(
        "symbol",
        column=pl.col("symbol").cast(pl.String).replace_strict(position, return_dtype=pl.Int64),
        since=pl.col("hour_start").cast(_TIMESTAMP).dt.timestamp("us") - _microseconds(portfolio.start),
        close=close,
    )
    _check_prices(portfolio, known)
    hour, column = (known["since"] // _HOUR_US).to_numpy(), known["column"].to_numpy()
    closes = np.zeros((count, len(columns)))
    closes[hour, column] = known["close"].to_numpy()
    bars = closes > 0
    priced_in = np.where(bars, np.arange(count)[:, None], -1)
    np.maximum.accumulate(priced_in, axis=0, out=priced_in)
    price = np.take_along_axis(closes, np.maximum(priced_in, 0), axis=0) if count else closes
    return _Market(portfolio.start, position, bars, priced_in, price)


def _microseconds(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def _check_prices(portfolio: Portfolio, known: pl.DataFrame) -> None:
    remedy = "pass one closing price per symbol and whole hour"
    within = known.filter(pl.col("since") % _HOUR_US != 0)
    if not within.is_empty():
        raise PortfolioError(
            f"portfolio {portfolio.name!r}: a price of {within['symbol'][0]} is not at the start of an hour",
            remedy,
        )
    twice = known.filter(known.select("column", "since").is_duplicated())
    if not twice.is_empty():
        hour = portfolio.start + dt.timedelta(microseconds=twice["since"][0])
        raise PortfolioError(
            f"portfolio {portfolio.name!r}: {twice['symbol'][0]} has two prices at {hour_key(hour)}", remedy
        )


@dataclass(slots=True)
class _Book:
    """What is held while the path is walked."""

    units: Floats
    cash: float
    allocation: int = -1


@dataclass(slots=True)
class _Steps:
    """The valuations so far, in blocks between which nothing was traded."""

    hours: list[Integers] = field(default_factory=list)
    units: list[Floats] = field(default_factory=list)
    cash: list[float] = field(default_factory=list)
    rebalanced: list[bool] = field(default_factory=list)

    def add(self, hours: Integers, book: _Book, *, rebalanced: bool) -> None:
        self.hours.append(hours)
        self.units.append(book.units)
        self.cash.append(book.cash)
        self.rebalanced.append(rebalanced)


class _Walk:
    """The walk from one transaction to the next."""

    def __init__(self, portfolio: Portfolio, market: _Market, held: int) -> None:
        self.portfolio = portfolio
        self.market = market
        self.end = len(market.bars)
        self.periods = _periods(portfolio, market)
        self.targets = [_targets(allocation, market, held) for allocation in portfolio.allocations]
        self.effective = [_hours_between(portfolio.start, a.effective) for a in portfolio.allocations]
        self.book = _Book(np.zeros(held), portfolio.initial_cash)
        self.steps = _Steps()
        self.since = np.full(held, -1, np.int64)
        self._traded: dict[bytes, Integers] = {}

    def hours_traded(self, symbols: Booleans) -> Integers:
        """Return the hours in which at least one of the symbols has a bar."""
        key = symbols.tobytes()
        if key not in self._traded:
            bars = self.market.bars[:, : symbols.size]
            self._traded[key] = np.flatnonzero((bars & symbols).any(axis=1))
        return self._traded[key]

    def watched(self) -> Booleans:
        """Return what is held, or else what is to be held."""
        held = self.book.units > 0
        if held.any() or self.book.allocation < 0:
            return held
        return self.targets[self.book.allocation] > 0

    def next_allocation(self, watched: Booleans, after: int) -> int:
        """Return the hour at which a later allocation takes effect; the end if none does."""
        found = self.end
        for target, effective in zip(
            self.targets[self.book.allocation + 1 :],
            self.effective[self.book.allocation + 1 :],
            strict=True,
        ):
            if effective >= found:
                break
            hours = self.hours_traded(watched | (target > 0))
            at = np.searchsorted(hours, max(effective, after + 1))
            found = min(found, int(hours[at]) if at < hours.size else self.end)
        return found

    def next_rebalancing(self, watched: Booleans, after: int) -> int:
        """Return the first valuation of the next period; the end if nothing is to be restored."""
        if after < 0 or not self.has_to_restore():
            return self.end
        hours = self.hours_traded(watched)
        following = np.searchsorted(self.periods, self.periods[after], side="right")
        at = np.searchsorted(hours, following)
        return int(hours[at]) if at < hours.size else self.end

    def has_to_restore(self) -> bool:
        allocation = self.portfolio.allocations[self.book.allocation]
        target = self.targets[self.book.allocation]
        return allocation.units is None or bool((self.book.units != target).any())

    def run(self) -> _Path:
        after, valuations = -1, 0
        while True:
            watched = self.watched()
            reallocated = self.next_allocation(watched, after)
            event = min(reallocated, self.next_rebalancing(watched, after))
            hours = self.hours_traded(watched)
            between = hours[np.searchsorted(hours, after, side="right") : np.searchsorted(hours, event)]
            self.steps.add(between, self.book, rebalanced=False)
            if event >= self.end:
                return self.path()
            valuations += between.size
            self.trade(event)
            newly = (self.targets[self.book.allocation] > 0) & (self.since < 0)
            self.since[newly] = valuations
            self.steps.add(np.array([event]), self.book, rebalanced=True)
            valuations += 1
            after = event

    def trade(self, hour: int) -> None:
        """Set the book to the allocation in force at an hour, at its closes."""
        price = self.market.price[hour, : self.book.units.size]
        total = float(_summed(np.append(self.book.cash, self.book.units * price)))
        self.book.allocation = int(np.searchsorted(self.effective, hour, side="right")) - 1
        target = np.where(price > 0, self.targets[self.book.allocation], 0.0)
        if self.portfolio.allocations[self.book.allocation].units is None:
            weight = 1.0 - float(_summed(target))
            self.book.cash = total * (weight if weight > WEIGHT_TOLERANCE else 0.0)
            self.book.units = np.divide(total * target, price, out=np.zeros_like(price), where=price > 0)
            return
        cost = float(_summed(target * price))
        cash = total - cost
        if cash < -WEIGHT_TOLERANCE * total:
            raise PortfolioError(
                f"portfolio {self.portfolio.name!r}: the units allocated at "
                f"{hour_key(self.portfolio.allocations[self.book.allocation].effective)} cost {cost:.2f} at "
                f"{hour_key(self.market.start + hour * HOUR)}, when the portfolio is worth {total:.2f}",
                f"allocate fewer units, or raise initial_cash by {-cash:.2f} or more",
            )
        self.book.cash, self.book.units = max(cash, 0.0), target

    def path(self) -> _Path:
        repeats = [hours.size for hours in self.steps.hours]
        hours = np.concatenate(self.steps.hours)
        return _Path(
            hours=hours,
            units=np.repeat(np.stack(self.steps.units), repeats, axis=0),
            cash=np.repeat(np.array(self.steps.cash), repeats),
            rebalanced=np.repeat(np.array(self.steps.rebalanced), repeats),
            since=np.where(self.since < 0, hours.size, self.since),
        )


def _walk(portfolio: Portfolio, market: _Market, held: int) -> _Path:
    return _Walk(portfolio, market, held).run()


def _targets(allocation: Allocation, market: _Market, held: int) -> Floats:
    target = np.zeros(held)
    for symbol in allocation.symbols:
        target[market.columns[symbol]] = (allocation.weights or allocation.units or {})[symbol]
    total = float(_summed(target)) if held else 0.0
    if allocation.weights and abs(total - 1.0) <= WEIGHT_TOLERANCE:
        target = target / total
    return target


def _periods(portfolio: Portfolio, market: _Market) -> Integers:
    """Return a number per hour that grows where weights are to be restored."""
    days = market.days
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return {
        "none": np.zeros_like(days),
        "daily": days,
        "weekly": (days + _DAY_OF_MONDAY) // 7,
        "monthly": months,
        "quarterly": months // 3,
    }[portfolio.rebalancing]


def _summed(values: Floats) -> Floats:
    """Return the sums over the last axis, added in its order whatever the array's shape."""
    if not values.shape[-1]:
        return np.zeros(values.shape[:-1])
    return np.asarray(np.cumsum(values, axis=-1)[..., -1])


def _figures(portfolio: Portfolio, market: _Market, path: _Path) -> _Figures:
    held = path.units.shape[1]
    price = market.price[path.hours, :held]
    worth = path.units * price
    invested = _summed(worth)
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
    def of(cls, market: _Market, path: _Path) -> _Days:
        _, firsts, number = np.unique(market.days[path.hours], return_index=True, return_inverse=True)
        return cls(firsts, number)

    def returns(self, values: Floats, start: float) -> GrowingReturns:
        """Return the daily returns of a value, which was ``start`` before the first day."""
        before = np.concatenate([[start], values[self.firsts[1:] - 1]])
        so_far = values / before[self.number] - 1.0
        return GrowingReturns(so_far[self.firsts[1:] - 1], self.number, so_far)


def _benchmark(market: _Market, path: _Path, days: _Days, symbol: str) -> tuple[Floats, GrowingReturns]:
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


def _measures(portfolio: Portfolio, market: _Market, path: _Path, figures: _Figures) -> dict[str, Floats]:
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
    portfolio: Portfolio, market: _Market, path: _Path, figures: _Figures, rows: slice
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
    portfolio: Portfolio, market: _Market, path: _Path, figures: _Figures, rows: slice
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


def _timestamps(market: _Market, hours: NDArray[np.generic]) -> pl.Series:
    """Return the hours' starts; null for an hour below zero."""
    moments = _unless_negative(hours) * _HOUR_US + _microseconds(market.start)
    return moments.cast(_TIMESTAMP)


def _frame(portfolio: Portfolio, data: dict[str, pl.Series], columns: tuple[Column, ...]) -> pl.DataFrame:
    frame = pl.DataFrame(data).with_columns(portfolio=pl.lit(portfolio.name, pl.String))
    return frame.select(column.name for column in columns)
