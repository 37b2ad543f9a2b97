"""Recordings: real bars of some symbols over some weeks, and what is known of where they come from.

A recording is a folder: ``manifest.json`` and a Parquet file for each symbol (``timestamp`` in UTC,
``open``, ``high``, ``low``, ``close``, ``volume``; the times are the bars' own, whatever weeks they
are laid onto).
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from fin_lake.errors import FinLakeError
from fin_lake.partitions import HOUR, HourRange, floor_hour, stock_sessions

MANIFEST: Final = "manifest.json"
PACK: Final = Path(__file__).parent / "pack"
AFTER_THE_LAST_HOUR: Final = dt.timedelta(minutes=5)
NEW_YORK: Final = "America/New_York"
BAR_COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "volume")
_SETTINGS_INTERVALS: Final = {1: "30min", 5: "30min", 15: "30min", 30: "30min", 60: "60min"}


class RecordingError(FinLakeError):
    """A recording that is not there or not whole."""


@dataclass(frozen=True, slots=True)
class RecordedSymbol:
    """One symbol of a recording.

    Parameters
    ----------
    symbol : str
        As it is asked for: AAPL, BTC-USD.
    asset_class : {'stocks', 'crypto'}
        Which API has it.
    minutes : int
        Length of a recorded bar.
    shift_weeks : int
        By how many whole weeks the bars are laid onto later ones; stocks keep New York's time of
        day, crypto keeps UTC's.
    source : str
        Where the bars come from, in words.
    coin : str
        CoinGecko's id of a coin; empty for a stock.
    """

    symbol: str
    asset_class: Literal["stocks", "crypto"]
    minutes: int
    shift_weeks: int
    source: str
    coin: str = ""


class Recording:
    """A recording, read from its folder.

    Raises
    ------
    RecordingError
        The folder has no manifest, or one that is not understood.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
            self.name = str(manifest["name"])
            self.symbols = {one["symbol"]: RecordedSymbol(**one) for one in manifest["symbols"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecordingError(
                f"recording {folder} cannot be read: {type(error).__name__}: {error}",
                "import it again with `fin-lake replay import`, or `fin-lake replay use pack`",
            ) from error

    def bars(self, symbol: str) -> pl.DataFrame:
        """Return a symbol's bars, laid onto the weeks they are served in, by ``timestamp`` (UTC)."""
        return _load(self.folder / f"{symbol}.parquet", self.symbols[symbol])

    @property
    def stock_symbols(self) -> list[str]:
        """The stocks, in the manifest's order."""
        return [one.symbol for one in self.symbols.values() if one.asset_class == "stocks"]

    @property
    def crypto_coins(self) -> dict[str, str]:
        """CoinGecko's id of each coin, and its symbol."""
        return {one.coin: one.symbol for one in self.symbols.values() if one.coin}

    @property
    def stock_interval(self) -> str:
        """The interval to ask stocks for: 30 minutes, or an hour where bars are no finer."""
        minutes = [one.minutes for one in self.symbols.values() if one.asset_class == "stocks"]
        return _SETTINGS_INTERVALS.get(max(minutes, default=30), "60min")

    @property
    def start(self) -> dt.datetime:
        """The first hour of the day (UTC) on which the stocks, or else the coins, begin."""
        return self._span()[0].replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def now(self) -> dt.datetime:
        """Just after the last session hour of the stocks, or else after the last hour of the coins."""
        first, last = self._span()
        if self.stock_symbols:
            days = HourRange(floor_hour(first), floor_hour(last) + 24 * HOUR)
            over = [closes for opens, closes in stock_sessions(days) if opens <= last]
            end = floor_hour(max(over) - dt.timedelta(seconds=1)) + HOUR if over else floor_hour(last) + HOUR
        else:
            end = floor_hour(last)
        return end + AFTER_THE_LAST_HOUR

    def _span(self) -> tuple[dt.datetime, dt.datetime]:
        chosen = self.stock_symbols or list(self.symbols)
        times = [self.bars(symbol)["timestamp"] for symbol in chosen]
        return min(t[0] for t in times), max(t[-1] for t in times)

    @property
    def notes(self) -> list[str]:
        """What a person must know of these bars, in sentences."""
        said = [
            f"{self.name}: recorded bars from {self.start:%Y-%m-%d} on; time stands at "
            f"{self.now:%Y-%m-%d %H:%M} UTC"
        ]
        for one in self.symbols.values():
            if one.shift_weeks:
                served = self.bars(one.symbol)["timestamp"]
                shift = dt.timedelta(weeks=one.shift_weeks)
                said.append(
                    f"{one.symbol}: bars of {served[0] - shift:%Y-%m-%d} to {served[-1] - shift:%Y-%m-%d} laid "
                    f"onto {served[0]:%Y-%m-%d} to {served[-1]:%Y-%m-%d} by {one.shift_weeks} whole weeks"
                )
        return said


@functools.lru_cache(maxsize=64)
def _load(path: Path, one: RecordedSymbol) -> pl.DataFrame:
    try:
        bars = pl.read_parquet(path, columns=list(BAR_COLUMNS))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RecordingError(f"bars of {one.symbol} cannot be read from {path}: {error}") from error
    time = pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    if one.shift_weeks:
        zone = NEW_YORK if one.asset_class == "stocks" else "UTC"
        time = time.dt.convert_time_zone(zone).dt.offset_by(f"{one.shift_weeks}w").dt.convert_time_zone("UTC")
    return bars.with_columns(timestamp=time).sort("timestamp")


def recordings_folder(home: Path) -> Path:
    """Return where imported recordings lie."""
    return home / "recordings"


def active_recording(home: Path) -> Recording:
    """Return the recording in use: the imported one that was chosen, else the shipped pack."""
    chosen = recordings_folder(home) / "active"
    if not chosen.exists():
        return Recording(PACK)
    return Recording(recordings_folder(home) / chosen.read_text().strip())


def write_recording(
    folder: Path, name: str, symbols: list[RecordedSymbol], bars: dict[str, pl.DataFrame]
) -> None:
    """Write a recording into an empty folder, the same input to the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for symbol, frame in bars.items():
        frame.select(BAR_COLUMNS).write_parquet(folder / f"{symbol}.parquet", compression="zstd")
    manifest = {
        "name": name,
        "symbols": [{field: getattr(one, field) for field in RecordedSymbol.__slots__} for one in symbols],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
