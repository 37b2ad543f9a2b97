"""The laws of bars and of stores: what is wrong with a frame, in numbers and with the keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from fin_lake.partitions import HOUR, HourRange, floor_hour, stock_sessions
from fin_lake.schema import AssetClass
from fin_lake.tables import INTERVAL_MINUTES

MOST_SHOWN: Final = 20
"""Offending keys that a finding names; ``numbers`` counts them all."""
LEAST_STEP: Final = 0.10
"""Log return between bars that is never taken for a step: about 10 %."""
DEVIATIONS: Final = 12.0
SUM_TOLERANCE: Final = 1e-9
"""Part of a sum's size (at least of 1) by which two sums of the same numbers may differ."""
BLOCKING: Final[Mapping[str, str]] = {
    "conservation": "Every raw bar is kept, quarantined, a duplicate, an earlier attempt or superseded",
    "ohlc_laws": "Low ≤ open, close ≤ high; prices are positive numbers; volumes are not negative",
    "duplicates": "Each key occurs once",
    "stores_agree": "PostgreSQL and the lake hold the same rows, in all formats",
    "equals_lake": "As many rows in each hour as the lake's objects hold, with the same sums",
}
"""Checks that stop what is downstream, and what they say."""
WARNING: Final[Mapping[str, str]] = {
    "completeness": "Every symbol has bars for every minute in which its market is open",
    "cross_source": "Sources agree on the prices of a bar, within 10 basis points",
    "step_changes": "No close is far from the one before, unless a split explains it",
    "freshness": "The latest hour of trading is stored",
}
"""Checks that tell and do not stop."""
_TO_DEVIATION: Final = 1.4826  # of a normal distribution: its median absolute deviation × this
_KEY: Final = ("symbol", "timestamp", "interval")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a law found.

    Parameters
    ----------
    numbers : mapping of str to int or float
        What was counted or measured.
    offending : sequence of mapping
        The first keys that break the law, with what is wrong.
    """

    passed: bool
    numbers: Mapping[str, int | float] = field(default_factory=dict)
    offending: Sequence[Mapping[str, Any]] = ()


def _of_rows(broken: pl.DataFrame, **numbers: float) -> Finding:
    return Finding(
        passed=broken.is_empty(),
        numbers={**numbers, "offending": broken.height},
        offending=broken.head(MOST_SHOWN).to_dicts(),
    )


def conservation(counts: pl.DataFrame, columns: Sequence[str]) -> Finding:
    """Every raw bar is in exactly one place: ``columns[0]`` is the sum of the others, in every hour.

    Parameters
    ----------
    counts : polars.DataFrame
        A row an hour: ``hour`` and the columns.
    """
    whole, *parts = columns
    broken = counts.filter(pl.col(whole) != pl.sum_horizontal(parts)).select("hour", *columns)
    sums = {name: int(counts[name].sum()) for name in columns}
    return _of_rows(broken, **sums)


def ohlc_laws(bars: pl.DataFrame) -> Finding:
    """Low ≤ open, close ≤ high; prices are positive numbers; a volume is a number that is not negative."""
    prices = pl.col("open_price", "high_price", "low_price", "close_price")
    highest = pl.max_horizontal("open_price", "close_price")
    lowest = pl.min_horizontal("open_price", "close_price")
    volume = pl.col("volume").cast(pl.Float64)
    sound = (
        pl.all_horizontal(prices.is_finite() & (prices > 0))
        & (pl.col("high_price") >= highest)
        & (pl.col("low_price") <= lowest)
        & (volume.is_null() | (volume.is_finite() & (volume >= 0)))
    )
    broken = bars.filter(~sound.fill_null(value=False))
    shown = (*_KEY, "open_price", "high_price", "low_price", "close_price", "volume")
    return _of_rows(broken.select(shown), rows=bars.height)


def duplicates(rows: pl.DataFrame, key: Sequence[str]) -> Finding:
    """Each key occurs once."""
    found = rows.group_by(key).len("rows").filter(pl.col("rows") > 1).sort(key)
    return _of_rows(found, rows=rows.height)


def expected_minutes(asset_class: AssetClass, hours: HourRange) -> dict[dt.datetime, int]:
    """Return how many minutes of each hour the market is open; hours without any are left out.

    Stocks trade in the exchange's sessions, early closes, holidays and clock changes included; crypto always.
    """
    if asset_class == "crypto":
        return dict.fromkeys(hours, 60)
    found: dict[dt.datetime, int] = {}
    for opens, closes in stock_sessions(hours):
        hour = floor_hour(opens)
        while hour < closes:
            if hour in hours:
                open_time = min(closes, hour + HOUR) - max(opens, hour)
                found[hour] = int(open_time / dt.timedelta(minutes=1))
            hour += HOUR
    return dict(sorted(found.items()))


def completeness(
    bars: pl.DataFrame, asset_class: AssetClass, hours: HourRange, symbols: Collection[str]
) -> Finding:
    """Every symbol has bars for every minute in which its market is open."""
    minutes = expected_minutes(asset_class, hours)
    expected = pl.DataFrame(
        {"hour": list(minutes), "expected_minutes": list(minutes.values())},
        schema={"hour": pl.Datetime("us", "UTC"), "expected_minutes": pl.Int64},
    ).join(pl.DataFrame({"symbol": sorted(symbols)}, schema={"symbol": pl.String}), how="cross")
    covered = bars.group_by("symbol", hour=pl.col("timestamp").dt.truncate("1h")).agg(
        minutes=pl.col("interval").replace_strict(INTERVAL_MINUTES, return_dtype=pl.Int64).sum()
    )
    found = expected.join(covered, on=("symbol", "hour"), how="left").with_columns(
        pl.col("minutes").fill_null(0)
    )
    short = found.filter(pl.col("minutes") < pl.col("expected_minutes")).sort("hour", "symbol")
    return _of_rows(
        short.select("symbol", "hour", "minutes", "expected_minutes"),
        expected=expected.height,
        missing=short.filter(pl.col("minutes") == 0).height,
    )


def step_changes(bars: pl.DataFrame, splits: pl.DataFrame, since: dt.datetime | None = None) -> Finding:
    """No close is far from the symbol's one before, unless a split explains it.

    Far is a log return of over ``DEVIATIONS`` robust deviations of the symbol's returns in the frame, and
    of over ``LEAST_STEP``.

    Parameters
    ----------
    bars : polars.DataFrame
        Rows of a processed table, those just before the ones in question included.
    splits : polars.DataFrame
        ``symbol``, ``timestamp`` (start of trading on the ex-date, UTC) and ``ratio`` (new shares per old).
    since : datetime, optional
        From when on steps count; bars before it are there to judge them by.
    """
    ordered = bars.sort("symbol", "timestamp").with_columns(
        before=pl.col("close_price").shift().over("symbol"),
        timestamp_before=pl.col("timestamp").shift().over("symbol"),
    )
    moves = ordered.filter(pl.col("before").is_not_null()).join(
        _split_steps(ordered, splits), on=("symbol", "timestamp"), how="left", maintain_order="left"
    )
    moves = moves.with_columns(
        log_return=(pl.col("close_price") / pl.col("before")).log() + pl.col("split").fill_null(1.0).log()
    )
    size = pl.col("log_return").abs()  # hourly returns lie about zero
    deviation = _TO_DEVIATION * size.median().over("symbol")
    limit = pl.max_horizontal(DEVIATIONS * deviation, pl.lit(LEAST_STEP))
    far = moves.with_columns(limit=limit).filter(size > pl.col("limit"))
    if since is not None:
        far = far.filter(pl.col("timestamp") >= since)
    shown = far.select("symbol", "timestamp", "before", "close_price", "log_return", "limit")
    return _of_rows(shown.sort("timestamp", "symbol"), rows=bars.height)


def _split_steps(ordered: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """Return the product of the splits between each bar and the one before it."""
    between = (pl.col("ex") > pl.col("timestamp_before")) & (pl.col("ex") <= pl.col("timestamp"))
    return (
        ordered.select("symbol", "timestamp", "timestamp_before")
        .join(splits.select("symbol", "ratio", ex="timestamp"), on="symbol")
        .filter(between)
        .group_by("symbol", "timestamp")
        .agg(split=pl.col("ratio").product())
    )


def cross_source(counts: pl.DataFrame, tolerance: float) -> Finding:
    """Bars that several sources sent have prices within a tolerance of each other.

    Parameters
    ----------
    counts : polars.DataFrame
        A row an hour: ``hour``, ``processed`` and ``cross_source_differences``, the bars that are apart.
    """
    apart = counts.filter(pl.col("cross_source_differences") > 0).sort("hour")
    bars, differing = int(counts["processed"].sum()), int(apart["cross_source_differences"].sum())
    return Finding(
        passed=apart.is_empty(),
        numbers={
            "bars": bars,
            "offending": differing,
            "share": differing / bars if bars else 0.0,
            "tolerance": tolerance,
        },
        offending=apart.select("hour", bars="cross_source_differences").head(MOST_SHOWN).to_dicts(),
    )


def stores_agree(stores: Mapping[str, pl.DataFrame], key: Sequence[str]) -> Finding:
    """Several stores hold the same rows.

    Parameters
    ----------
    stores : mapping of str to polars.DataFrame
        What each holds, with the same columns. The first is what the others are compared with.
    """
    (first, rows), *others = stores.items()
    numbers: dict[str, int | float] = {name: frame.height for name, frame in stores.items()}
    offending: list[Mapping[str, Any]] = []
    for name, held in others:
        same = held.select(rows.columns)
        only_here = same.join(rows, on=rows.columns, how="anti", nulls_equal=True).select(*key)
        only_there = rows.join(same, on=rows.columns, how="anti", nulls_equal=True).select(*key)
        twice = same.group_by(key).len().filter(pl.col("len") > 1).select(*key)
        wrong = [
            *(
                {**one, "store": name, "what": f"missing, or not as in {first}"}
                for one in only_there.to_dicts()
            ),
            *(
                {**one, "store": name, "what": f"not in {first}"}
                for one in only_here.join(only_there, on=key, how="anti", nulls_equal=True).to_dicts()
            ),
            *({**one, "store": name, "what": "twice"} for one in twice.to_dicts()),
        ]
        numbers[f"{name}_differing"] = len(wrong)
        offending += wrong
    return Finding(passed=not offending, numbers=numbers, offending=offending[:MOST_SHOWN])


def sums_agree(here: pl.DataFrame, there: pl.DataFrame) -> Finding:
    """Two stores hold as many rows in each hour, and the same sums.

    Sums may differ by what the order of adding makes of them: ``SUM_TOLERANCE`` of their size.

    Parameters
    ----------
    here, there : polars.DataFrame
        A row an hour that has rows: ``hour``, ``rows``, and a sum for each further column, null where
        there is no value. ``here`` is what ``there`` is compared with.
    """
    both = here.join(there, on="hour", how="full", coalesce=True, suffix="_there").sort("hour")
    offending: list[Mapping[str, Any]] = []
    for name in here.columns[1:]:
        one, other = pl.col(name), pl.col(f"{name}_there")
        size = pl.max_horizontal(1.0, one.abs(), other.abs())
        near = (one - other).abs() <= (0 if name == "rows" else SUM_TOLERANCE) * size
        same = one.eq_missing(other) | near.fill_null(value=False)
        broken = both.filter(~same).select("hour", here=one, there=other)
        offending += [{"hour": row["hour"], "column": name, **row} for row in broken.to_dicts()]
    return Finding(
        passed=not offending,
        numbers={
            "rows_here": int(here["rows"].sum()),
            "rows_there": int(there["rows"].sum()),
            "differing": len(offending),
        },
        offending=offending[:MOST_SHOWN],
    )


def latest_expected_hour(asset_class: AssetClass, now: dt.datetime, lag: dt.timedelta) -> dt.datetime:
    """Return the last hour of trading that should be stored by now.

    Parameters
    ----------
    lag : datetime.timedelta
        How long after its end an hour may take to arrive.
    """
    last = floor_hour(now - lag) - HOUR
    if asset_class == "crypto":
        return last
    open_hours = expected_minutes("stocks", HourRange(last - dt.timedelta(days=14), last + HOUR))
    return max(open_hours)


def freshness(
    latest: dt.datetime | None, asset_class: AssetClass, now: dt.datetime, lag: dt.timedelta
) -> Finding:
    """Trading has been stored up to the latest hour that there can be, given the market's hours.

    Parameters
    ----------
    latest : datetime, optional
        Start of the latest stored bar, UTC; none if nothing is stored.
    """
    expected = latest_expected_hour(asset_class, now, lag)
    behind = (expected - floor_hour(latest)) / HOUR if latest is not None else float("inf")
    late = Finding(
        passed=False,
        numbers={"hours_behind": behind} if latest is not None else {},
        offending=[{"expected": expected, "latest": latest}],
    )
    return Finding(passed=True, numbers={"hours_behind": max(behind, 0.0)}) if behind <= 0 else late
