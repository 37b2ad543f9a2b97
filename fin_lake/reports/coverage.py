"""Which hours are there: each hour of a market as stored, in part, closed, a gap, or not made at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from enum import StrEnum

import polars as pl

from fin_lake.partitions import HourRange


class Coverage(StrEnum):
    """What is known of an hour, in the words that a reader sees."""

    STORED = "stored"
    PARTIAL = "some symbols only"
    CLOSED = "exchange closed"
    GAP = "gap: made, but empty"
    MISSING = "missing: not made"


def coverage(
    hours: HourRange,
    bars: pl.DataFrame,
    symbols: Collection[str],
    open_hours: Collection[dt.datetime],
    made: Collection[dt.datetime],
) -> pl.DataFrame:
    """Return the state of every hour.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol`` and ``timestamp`` of the bars that are stored.
    symbols : collection of str
        Those that are to be stored.
    open_hours : collection of datetime
        The hours in which there is trading.
    made : collection of datetime
        The hours that were materialized.

    Returns
    -------
    polars.DataFrame
        ``hour`` (UTC), ``rows``, ``symbols`` and ``state``, one of :class:`Coverage`, by hour.
    """
    counted = bars.group_by(hour=pl.col("timestamp").dt.truncate("1h")).agg(
        rows=pl.len().cast(pl.Int64),
        symbols=pl.col("symbol").n_unique().cast(pl.Int64),
        wanted=pl.col("symbol").filter(pl.col("symbol").is_in(list(symbols))).n_unique(),
    )
    every = pl.DataFrame({"hour": list(hours)}, schema={"hour": pl.Datetime("us", "UTC")})
    is_open, is_made = pl.col("hour").is_in(list(open_hours)), pl.col("hour").is_in(list(made))
    state = (
        pl.when(pl.col("wanted") >= len(symbols), pl.col("rows") > 0)
        .then(pl.lit(Coverage.STORED.value))
        .when(pl.col("rows") > 0)
        .then(pl.lit(Coverage.PARTIAL.value))
        .when(~is_open)
        .then(pl.lit(Coverage.CLOSED.value))
        .when(is_made)
        .then(pl.lit(Coverage.GAP.value))
        .otherwise(pl.lit(Coverage.MISSING.value))
    )
    return (
        every.join(counted, on="hour", how="left")
        .with_columns(pl.col("rows", "symbols", "wanted").fill_null(0))
        .select("hour", "rows", "symbols", state=state)
        .sort("hour")
    )
