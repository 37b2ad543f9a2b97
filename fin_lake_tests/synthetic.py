"""Bars that nobody traded, for what a recording is too short for: random walks, the same for a seed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import polars as pl

from fin_lake.lake.frames import by_hour
from fin_lake.lake.processed import write_hours
from fin_lake.lake.raw import RawAttempt, read_attempts, write_attempt
from fin_lake.lake.store import Lake
from fin_lake.partitions import HOUR, HourRange, stock_sessions
from fin_lake.schema import AssetClass
from fin_lake.tables import INTERVAL_MINUTES, PROCESSED, QUARANTINE, RAW, RAW_SCHEMA_VERSION
from fin_lake.transforms.clean import clean

INTERVALS: Final = {"stocks": "30min", "crypto": "1h"}
SOURCES: Final = {"stocks": "yahoo", "crypto": "coingecko"}


def synthetic_records(
    asset_class: AssetClass, hours: HourRange, symbols: Sequence[str], *, seed: int = 1
) -> pl.DataFrame:
    """Return raw records of bars, every half hour of stock sessions, or every hour for crypto."""
    chance = np.random.default_rng(seed)
    starts = _starts(asset_class, hours)
    shape = (len(symbols), len(starts))
    close = 100 * np.exp(np.cumsum(chance.normal(0, 0.005, shape), axis=1))
    opened = close * np.exp(chance.normal(0, 0.003, shape))
    spread = np.abs(chance.normal(0, 0.002, shape))
    length = dt.timedelta(minutes=INTERVAL_MINUTES[INTERVALS[asset_class]])
    return pl.DataFrame(
        {
            "kind": "bar",
            "symbol": np.repeat(np.array(symbols, dtype=object), len(starts)),
            "timestamp": list(starts) * len(symbols),
            "interval": INTERVALS[asset_class],
            "open_price": opened.ravel(),
            "high_price": (np.maximum(opened, close) * (1 + spread)).ravel(),
            "low_price": (np.minimum(opened, close) * (1 - spread)).ravel(),
            "close_price": close.ravel(),
            "volume": chance.integers(1, 1_000_000, shape).astype(float).ravel(),
            "source": SOURCES[asset_class],
            "fetched_at": [start + length for start in starts] * len(symbols),
            "finished": True,
            "sampled": False,
            "payload": "{}",
            "schema_version": RAW_SCHEMA_VERSION,
        }
    ).select(
        (pl.col(name) if name in _GIVEN else pl.lit(None)).cast(type_).alias(name)
        for name, type_ in RAW[asset_class].polars_schema().items()
    )


_GIVEN: Final = frozenset(RAW["stocks"].column_names) - {"volume_24h", "split_factor"}


def fill(lake: Lake, asset_class: AssetClass, records: pl.DataFrame, hours: Collection[dt.datetime]) -> None:
    """Put records into raw, and what cleaning makes of them into the processed layer."""
    wanted = records.filter(pl.col("timestamp").dt.truncate("1h").is_in(sorted(hours)))
    attempt = RawAttempt(wanted, frozenset(hours), max(hours) + HOUR)
    write_attempt(lake, RAW[asset_class], attempt)
    for span in _spans(hours):
        made = clean(read_attempts(lake, RAW[asset_class], span), asset_class, span)
        for table, rows in ((PROCESSED[asset_class], made.bars), (QUARANTINE[asset_class], made.quarantined)):
            write_hours(lake, table, span, by_hour(rows, table.hour_column))


def _starts(asset_class: AssetClass, hours: HourRange) -> list[dt.datetime]:
    step = dt.timedelta(minutes=INTERVAL_MINUTES[INTERVALS[asset_class]])
    if asset_class == "crypto":
        return list(hours)
    sessions = stock_sessions(hours)
    starts = [
        opens + step * number for opens, closes in sessions for number in range((closes - opens) // step)
    ]
    return [start for start in starts if start in hours]


def _spans(hours: Collection[dt.datetime]) -> list[HourRange]:
    """Return the hours as ranges without a gap, of a month at most."""
    found: list[HourRange] = []
    for hour in sorted(hours):
        if found and found[-1].end == hour:
            found[-1] = HourRange(found[-1].start, hour + HOUR)
        else:
            found.append(HourRange.of(hour))
    return [month for span in found for month in span.by_month()]
