"""Small frames that tests begin with."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from fin_lake.lake.raw import raw_schema
from fin_lake.tables import PROCESSED, RAW

HALF_HOUR = dt.timedelta(minutes=30)


def stock_bars(symbol: str, start: dt.datetime, count: int) -> pl.DataFrame:
    """Return clean half-hourly bars."""
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "timestamp": start + i * HALF_HOUR,
                "interval": "30min",
                "open_price": 10.0,
                "high_price": 12.5,
                "low_price": 9.25,
                "close_price": 11.0 + i,
                "volume": 1000 + i,
                "source": "alpha_vantage",
            }
            for i in range(count)
        ],
        schema=PROCESSED["stocks"].polars_schema(),
    )


def raw_bar(symbol: str | None, start: dt.datetime | None, **changes: Any) -> dict[str, Any]:
    """Return a sound raw bar of half an hour, with ``changes``."""
    return {
        "kind": "bar",
        "symbol": symbol,
        "timestamp": start,
        "interval": "30min",
        "open_price": 10.0,
        "high_price": 11.0,
        "low_price": 9.0,
        "close_price": 10.5,
        "volume": 100.0,
        "source": "alpha_vantage",
        "fetched_at": dt.datetime(2023, 1, 5, tzinfo=dt.UTC),
        "finished": True,
        "sampled": False,
        "split_factor": 1.0,
        "payload": "{}",
        "schema_version": 1,
        "raw_key": "raw/first",
        "raw_hour": start.replace(minute=0) if start else None,
        **changes,
    }


def raw_frame(*bars: dict[str, Any]) -> pl.DataFrame:
    """Return raw records as they are read from the lake."""
    return pl.DataFrame(list(bars), schema=raw_schema(RAW["stocks"])).with_columns(
        raw_line=pl.int_range(pl.len(), dtype=pl.Int64())
    )
