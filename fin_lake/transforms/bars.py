"""Hourly bars, made of the bars that the sources sent."""

from __future__ import annotations

from typing import Final

import polars as pl

from fin_lake.tables import INTERVAL_MINUTES

HOURLY_SCHEMA: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "timestamp": pl.Datetime("us", "UTC"),
        "open_price": pl.Float64(),
        "high_price": pl.Float64(),
        "low_price": pl.Float64(),
        "close_price": pl.Float64(),
        "volume": pl.Float64(),
        "turnover": pl.Float64(),
    }
)


def hourly_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Return one bar per symbol and hour, as the staging models of dbt make it.

    An hour that is stored in two intervals counts once: bars of trades go before samples, the fuller
    hour before the emptier, the finer interval before the coarser.

    Parameters
    ----------
    bars : polars.DataFrame
        Rows of a processed table, in any order.

    Returns
    -------
    polars.DataFrame
        In ``HOURLY_SCHEMA``, sorted by symbol and timestamp, which is the start of the hour, UTC.
        ``turnover`` is the sum of typical price times volume over the bars; volume and turnover are null
        where no bar has a volume.
    """
    sampled = pl.col("sampled") if "sampled" in bars.columns else pl.lit(False)
    typical = pl.sum_horizontal("high_price", "low_price", "close_price") / 3
    start = pl.col("timestamp")
    made = (
        bars.lazy()
        .with_columns(
            pl.col("volume").cast(pl.Float64),
            sampled=sampled,
            minutes=pl.col("interval").replace_strict(INTERVAL_MINUTES, return_dtype=pl.Int64),
            hour=start.dt.truncate("1h"),
        )
        .with_columns(turnover=typical * pl.col("volume"))
        .sort("symbol", "timestamp")
        .group_by("symbol", "hour", "interval", maintain_order=True)
        .agg(
            pl.col("open_price").first(),
            pl.col("high_price").max(),
            pl.col("low_price").min(),
            pl.col("close_price").last(),
            *(
                pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)
                for name in ("volume", "turnover")
            ),
            sampled=pl.col("sampled").all(),
            covered=pl.col("minutes").sum(),
            minutes=pl.col("minutes").max(),
        )
        .sort(
            "symbol", "hour", "sampled", "covered", "minutes", descending=[False, False, False, True, False]
        )
        .unique(("symbol", "hour"), keep="first", maintain_order=True)
        .rename({"hour": "timestamp"})
        .select(HOURLY_SCHEMA.names())
    )
    return made.collect()
