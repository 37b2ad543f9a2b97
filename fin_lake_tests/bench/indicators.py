"""Speed of the indicators, beside bare calls of TA-Lib on the same arrays.

A million hourly rows in 100 symbols, random walks. *Bare* is every function once per symbol, on arrays
that are there already, its results thrown away. Rounds alternate.

    python -m fin_lake_tests.bench.indicators [--rounds 7]
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import time
from pathlib import Path

import numpy as np
import polars as pl
import talib
from rich.console import Console

from fin_lake.partitions import HOUR, UTC
from fin_lake.transforms.bars import HOURLY_SCHEMA
from fin_lake.transforms.indicators import indicators

RESULTS = Path("bench-indicators.json")
SYMBOLS, BARS = 100, 10_000


def walks() -> pl.DataFrame:
    """Return the hourly bars."""
    chance = np.random.default_rng(1)
    shape = (SYMBOLS, BARS)
    close = 100 * np.exp(np.cumsum(chance.normal(0, 0.005, shape), axis=1))
    opened = close * np.exp(chance.normal(0, 0.003, shape))
    volume = chance.integers(1, 1_000_000, shape).astype(float)
    start = dt.datetime(2020, 1, 1, tzinfo=UTC)
    hours = pl.datetime_range(start, start + HOUR * (BARS - 1), "1h", time_unit="us", eager=True)
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{number:03}" for number in range(SYMBOLS)], BARS),
            "timestamp": pl.concat([hours] * SYMBOLS),
            "open_price": opened.ravel(),
            "high_price": (np.maximum(opened, close) * 1.001).ravel(),
            "low_price": (np.minimum(opened, close) * 0.999).ravel(),
            "close_price": close.ravel(),
            "volume": volume.ravel(),
            "turnover": (volume * close).ravel(),
        },
        schema=HOURLY_SCHEMA,
    )


def bare(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> None:
    """Call every function that the indicators call."""
    talib.SMA(close, 20)
    talib.SMA(close, 50)
    talib.EMA(close, 12)
    talib.EMA(close, 26)
    talib.RSI(close, 14)
    talib.MACD(close, 12, 26, 9)
    talib.BBANDS(close, 20, 2.0, 2.0)
    talib.ATR(high, low, close, 14)
    talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    talib.ADX(high, low, close, 14)
    talib.STDDEV(np.diff(np.log(close)), 24)
    talib.OBV(close, volume)


def main(rounds: int) -> None:
    """Measure, print, and leave the figures in ``bench-indicators.json``."""
    bars = walks()
    names = ("high_price", "low_price", "close_price", "volume")
    arrays = [bars[name].to_numpy().reshape(SYMBOLS, BARS) for name in names]
    taken: dict[str, list[float]] = {"bare": [], "fin_lake": []}
    for _ in range(rounds + 2):  # two to warm up
        started = time.perf_counter()
        for series in zip(*arrays, strict=True):
            bare(*series)
        taken["bare"].append(time.perf_counter() - started)
        started = time.perf_counter()
        indicators(bars, "crypto")
        taken["fin_lake"].append(time.perf_counter() - started)
    figures = {what: statistics.median(runs[2:]) for what, runs in taken.items()}
    figures["ratio"] = figures["fin_lake"] / figures["bare"]
    console = Console()
    console.print(
        f"indicators of {bars.height:,} hourly rows: bare TA-Lib {figures['bare']:.3f} s,"
        f" fin_lake {figures['fin_lake']:.3f} s, {figures['ratio']:.2f} ×"
    )
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    main(parser.parse_args().rounds)
