"""Portfolios over splits: prices as traded come in, units as held go out.

A split changes the number of units and the price, not the value. The walk sees units as of the start:
prices are multiplied by the splits since then, units divided. What comes later changes nothing earlier.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul

import polars as pl

from fin_lake.partitions import HourRange, floor_hour
from fin_lake.portfolios.definitions import Portfolio
from fin_lake.portfolios.valuation import Valued, value

_TIME = pl.Datetime("us", "UTC")


def value_as_traded(
    portfolio: Portfolio, prices: pl.DataFrame, splits: pl.DataFrame, hours: HourRange
) -> Valued:
    """Value a portfolio whose symbols may split.

    Parameters
    ----------
    portfolio : Portfolio
        Units that it allocates are those of their effective date.
    prices : polars.DataFrame
        ``symbol``, ``hour_start`` and ``close_price`` as traded; see ``valuation.value``.
    splits : polars.DataFrame
        ``symbol``, ``timestamp`` (start of trading on the ex-date, UTC) and ``ratio`` (new units for each
        old one), from the portfolio's start on.
    hours : HourRange
        The hours to return.

    Raises
    ------
    PortfolioError
        As ``valuation.value``.
    """
    factors = _factors(splits.filter(pl.col("timestamp") >= portfolio.start))
    if factors.is_empty():
        return value(portfolio, prices, hours)
    adjusted = _joined(prices, factors, "hour_start").with_columns(pl.col("close_price") * pl.col("factor"))
    valued = value(_as_of_the_start(portfolio, factors), adjusted.drop("factor"), hours)
    holdings = _joined(valued.holdings, factors, "timestamp").with_columns(
        pl.col("units") * pl.col("factor"), pl.col("price") / pl.col("factor")
    )
    columns = valued.holdings.columns
    return Valued(valued.valuations, holdings.sort("timestamp", "symbol").select(columns))


def _factors(splits: pl.DataFrame) -> pl.DataFrame:
    """Return, for each symbol, from which hour on how many units one of the start has become."""
    rows = []
    for (symbol,), part in splits.sort("timestamp").partition_by("symbol", as_dict=True).items():
        hours = [floor_hour(at) for at in part["timestamp"]]
        rows += [(symbol, *one) for one in zip(hours, accumulate(part["ratio"], mul), strict=True)]
    schema = {"symbol": pl.String(), "since": _TIME, "factor": pl.Float64()}
    return pl.DataFrame(rows, schema=pl.Schema(schema), orient="row").unique(
        ("symbol", "since"), keep="last", maintain_order=True
    )


def _joined(frame: pl.DataFrame, factors: pl.DataFrame, time: str) -> pl.DataFrame:
    return (
        frame.sort(time)
        .join_asof(factors.sort("since"), left_on=time, right_on="since", by="symbol", check_sortedness=False)
        .with_columns(pl.col("factor").fill_null(1.0))
        .drop("since", strict=False)
    )


def _as_of_the_start(portfolio: Portfolio, factors: pl.DataFrame) -> Portfolio:
    allocations = []
    for allocation in portfolio.allocations:
        known = factors.filter(pl.col("since") <= allocation.effective).sort("since")
        latest = dict(known.select("symbol", "factor").iter_rows())
        units = allocation.units and {
            symbol: count / latest.get(symbol, 1.0) for symbol, count in allocation.units.items()
        }
        allocations.append(allocation.model_copy(update={"units": units}))
    return portfolio.model_copy(update={"allocations": tuple(allocations)})
