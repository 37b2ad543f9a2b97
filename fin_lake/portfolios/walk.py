"""What a portfolio held from its start on: from prices on a grid of hours to units and cash.

What was traded when, and at which prices, is decided here (see ``valuation`` for the rules); what it
was worth is not.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fin_lake.partitions import HOUR, hour_key
from fin_lake.portfolios.definitions import WEIGHT_TOLERANCE, Allocation, Portfolio, PortfolioError
from fin_lake.portfolios.measures import Floats, Integers

Booleans = NDArray[np.bool_]

_HOUR_US: Final = 3_600_000_000
_HOURS_A_DAY: Final = 24
_DAY_OF_MONDAY: Final = 3  # 1970-01-01 was a Thursday
_TIMESTAMP: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Market:
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
    def start_us(self) -> int:
        """The start, in microseconds since 1970."""
        return _microseconds(self.start)

    @property
    def days(self) -> Integers:
        """The UTC day of each hour, since 1970."""
        first = int(self.start.timestamp()) // 3600
        return (first + np.arange(len(self.bars))) // _HOURS_A_DAY


@dataclass(frozen=True, slots=True)
class Path:
    """What was held at each of T valuations: hours since the start, units (T, S), cash (T,).

    ``since`` is the valuation from which each symbol has been part of an allocation, T if never.
    """

    hours: Integers
    units: Floats
    cash: Floats
    rebalanced: Booleans
    since: Integers


def hours_between(start: dt.datetime, moment: dt.datetime) -> int:
    """Return the whole hours from the start to a moment; 0 before it."""
    return max((moment - start) // HOUR, 0)


def market_of(portfolio: Portfolio, prices: pl.DataFrame, columns: list[str], end: dt.datetime) -> Market:
    """Return the prices of the columns' symbols from the portfolio's start to ``end``.

    Raises
    ------
    PortfolioError
        A symbol has two prices in an hour, or a price within one.
    """
    position = {symbol: i for i, symbol in enumerate(columns)}
    count = hours_between(portfolio.start, end)
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
    return Market(portfolio.start, position, bars, priced_in, price)


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

    def __init__(self, portfolio: Portfolio, market: Market, held: int) -> None:
        self.portfolio = portfolio
        self.market = market
        self.end = len(market.bars)
        self.periods = _periods(portfolio, market)
        self.targets = [_targets(allocation, market, held) for allocation in portfolio.allocations]
        self.effective = [hours_between(portfolio.start, a.effective) for a in portfolio.allocations]
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

    def run(self) -> Path:
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
        total = float(summed(np.append(self.book.cash, self.book.units * price)))
        self.book.allocation = int(np.searchsorted(self.effective, hour, side="right")) - 1
        target = np.where(price > 0, self.targets[self.book.allocation], 0.0)
        if self.portfolio.allocations[self.book.allocation].units is None:
            weight = 1.0 - float(summed(target))
            self.book.cash = total * (weight if weight > WEIGHT_TOLERANCE else 0.0)
            self.book.units = np.divide(total * target, price, out=np.zeros_like(price), where=price > 0)
            return
        cost = float(summed(target * price))
        cash = total - cost
        if cash < -WEIGHT_TOLERANCE * total:
            raise PortfolioError(
                f"portfolio {self.portfolio.name!r}: the units allocated at "
                f"{hour_key(self.portfolio.allocations[self.book.allocation].effective)} cost {cost:.2f} at "
                f"{hour_key(self.market.start + hour * HOUR)}, when the portfolio is worth {total:.2f}",
                f"allocate fewer units, or raise initial_cash by {-cash:.2f} or more",
            )
        self.book.cash, self.book.units = max(cash, 0.0), target

    def path(self) -> Path:
        repeats = [hours.size for hours in self.steps.hours]
        hours = np.concatenate(self.steps.hours)
        return Path(
            hours=hours,
            units=np.repeat(np.stack(self.steps.units), repeats, axis=0),
            cash=np.repeat(np.array(self.steps.cash), repeats),
            rebalanced=np.repeat(np.array(self.steps.rebalanced), repeats),
            since=np.where(self.since < 0, hours.size, self.since),
        )


def walk(portfolio: Portfolio, market: Market, held: int) -> Path:
    """Return what was held at every valuation; the market's first ``held`` symbols can be.

    Raises
    ------
    PortfolioError
        An allocation of units costs more than the portfolio is worth.
    """
    return _Walk(portfolio, market, held).run()


def _targets(allocation: Allocation, market: Market, held: int) -> Floats:
    target = np.zeros(held)
    for symbol in allocation.symbols:
        target[market.columns[symbol]] = (allocation.weights or allocation.units or {})[symbol]
    total = float(summed(target)) if held else 0.0
    if allocation.weights and abs(total - 1.0) <= WEIGHT_TOLERANCE:
        target = target / total
    return target


def _periods(portfolio: Portfolio, market: Market) -> Integers:
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


def summed(values: Floats) -> Floats:
    """Return the sums over the last axis, added in its order whatever the array's shape."""
    if not values.shape[-1]:
        return np.zeros(values.shape[:-1])
    return np.asarray(np.cumsum(values, axis=-1)[..., -1])
